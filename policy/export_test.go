package policy

// Builtin gives the built-in rules, so that a test can ask for a body for each.
var Builtin = builtin

// Find reads an error body as Classify does.
func Find(body []byte) (codes, types []string, message string) {
	f := find(body)
	return f.codes, f.types, f.message
}
