package policy

import (
	"errors"
	"fmt"
	"net/textproto"
	"regexp"
	"slices"
	"strings"
)

// Rule is one row of the table: what a reply that is no answer looks like, and its class.
// Every condition that is set must hold. Patterns are regular expressions that ignore case.
type Rule struct {
	// Name is shown as Fault.Rule.
	Name string `yaml:"name"`
	// Status lists HTTP statuses; a single digit stands for its hundred, 5 for 500 to 599.
	Status Statuses `yaml:"status,omitempty"`
	// Code matches a whole code of the body. As providers mix the two up, a type counts too.
	Code string `yaml:"code,omitempty"`
	// Type matches a whole type of the body and no code.
	Type string `yaml:"type,omitempty"`
	// Message matches any part of the provider's message.
	Message string `yaml:"message,omitempty"`
	// Header is a header's name, a colon, and what matches its whole value.
	Header string `yaml:"header,omitempty"`
	// Alone asks that the message gives a limit and a request for more than all of it
	// ("Limit 10000, Requested 12000"): such a request never fits, however long it waits.
	Alone bool `yaml:"alone,omitempty"`
	// Class is one of Classes.
	Class Class `yaml:"class"`
}

// Statuses are HTTP statuses, or the first digits of them. In YAML one may stand without brackets.
type Statuses []int

// UnmarshalYAML reads a list, or one status alone.
func (s *Statuses) UnmarshalYAML(unmarshal func(any) error) error {
	one := 0
	if unmarshal(&one) == nil {
		*s = Statuses{one}
		return nil
	}
	return unmarshal((*[]int)(s))
}

// Validate says why the rule can be no row of a table: no name, no condition, a class that is
// none of Classes, a pattern that is no regular expression.
func (r Rule) Validate() error {
	_, err := compile(r)
	return err
}

// Table judges replies by its rules, in order: the first that matches decides. It is safe for
// concurrent use. The zero Table has no rules and calls every reply without an answer a BadReply.
type Table struct{ rows []row }

// row is a Rule whose patterns are compiled; a pattern that is not set is nil.
type row struct {
	Rule
	code, kind, message, value *regexp.Regexp
	header                     string
}

// NewTable makes a table of the built-in rules, with the extra ones before them.
func NewTable(extra ...Rule) (*Table, error) {
	t := &Table{}
	for i, r := range slices.Concat(extra, builtin()) {
		compiled, err := compile(r)
		if err != nil {
			return nil, fmt.Errorf("compile rule %d %q: %w", i+1, r.Name, err)
		}
		t.rows = append(t.rows, compiled)
	}
	return t, nil
}

func compile(r Rule) (row, error) {
	c := row{Rule: r}
	name, value, _ := strings.Cut(r.Header, ":")
	c.header = textproto.CanonicalMIMEHeaderKey(strings.TrimSpace(name))
	errs := []error{
		check(r),
		pattern(&c.code, whole(r.Code)),
		pattern(&c.kind, whole(r.Type)),
		pattern(&c.message, r.Message),
		pattern(&c.value, whole(strings.TrimSpace(value))),
	}
	return c, errors.Join(errs...)
}

// check finds what would make a rule match everything, nothing, or to no known end.
func check(r Rule) error {
	switch {
	case r.Name == "":
		return errors.New("name is missing")
	case !slices.Contains(Classes(), r.Class):
		return fmt.Errorf("class %q is none of %v", r.Class, Classes())
	case len(r.Status) == 0 && r.Code+r.Type+r.Message+r.Header == "" && !r.Alone:
		return errors.New("it has no condition")
	}
	for _, s := range r.Status {
		if s < 1 || s > 9 && s < 100 || s > 999 {
			return fmt.Errorf("status %d is neither a status nor the first digit of one", s)
		}
	}
	if name, value, ok := strings.Cut(r.Header, ":"); r.Header != "" && (!ok || name == "" || value == "") {
		return fmt.Errorf("header %q is not a name, a colon and a pattern", r.Header)
	}
	return nil
}

func whole(s string) string {
	if s == "" {
		return ""
	}
	return `^(?:` + s + `)$`
}

func pattern(to **regexp.Regexp, s string) error {
	if s == "" {
		return nil
	}
	re, err := regexp.Compile(`(?is)` + s)
	if err != nil {
		return fmt.Errorf("read pattern: %w", err)
	}
	*to = re
	return nil
}

// Unknown says that only the status decided although the provider gave a code or a type: a row
// that the table lacks.
func (f *Fault) Unknown() bool {
	return strings.HasPrefix(f.Rule, "status ") && f.Code+f.Type != ""
}

// decide gives the first row that matches. No built-in row speaks of 1xx, nor of a 2xx whose
// body tells nothing: no answer came, which is the last word here.
func (t *Table) decide(r Reply, status int, f finding) (Class, string) {
	alone := exceedsAlone(f.message)
	for i := range t.rows {
		if c := &t.rows[i]; (alone || !c.Alone) && c.matches(r, status, f) {
			return c.Class, c.Name
		}
	}
	return BadReply, "no answer"
}

func (c *row) matches(r Reply, status int, f finding) bool {
	return c.hasStatus(status) &&
		(c.header == "" || c.hasHeader(r.Header.Get(c.header))) &&
		(c.kind == nil || slices.ContainsFunc(f.types, c.kind.MatchString)) &&
		(c.code == nil || slices.ContainsFunc(f.codes, c.code.MatchString) ||
			slices.ContainsFunc(f.types, c.code.MatchString)) &&
		(c.message == nil || c.message.MatchString(f.message))
}

func (c *row) hasStatus(status int) bool {
	return len(c.Status) == 0 || slices.Contains(c.Status, status) || slices.Contains(c.Status, status/100)
}

func (c *row) hasHeader(value string) bool { return value != "" && c.value.MatchString(value) }
