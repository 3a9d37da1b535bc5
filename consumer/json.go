package consumer

import (
	"github.com/go-json-experiment/json/jsontext"
)

// appendString appends s as a JSON string; bytes that are no UTF-8 become U+FFFD.
func appendString(b []byte, s string) []byte {
	out, err := jsontext.AppendQuote(b, s)
	if err != nil { // invalid UTF-8: AppendQuote has replaced it and says so
		return out
	}
	return out
}
