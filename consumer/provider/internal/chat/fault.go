package chat

import (
	"bytes"

	"github.com/go-json-experiment/json/jsontext"

	"nightshift/consumer/provider/internal/sse"
)

// Fault is the error that a stream's event is, as the body of a reply in which policy finds
// it; nil for any other event. It is the event's data wherever that says itself that it is one.
func Fault(e sse.Event) []byte {
	named := e.Name == "error"
	if !named && !bytes.Contains(e.Data, []byte("error")) && !bytes.Contains(e.Data, []byte("failed")) {
		return nil // nearly every event ends here
	}
	var v struct {
		Type   jsontext.Value `json:"type"`
		Object jsontext.Value `json:"object"`
		Error  jsontext.Value `json:"error"`
	}
	if Decode(e.Data, &v) != nil {
		if !named {
			return nil
		}
		return wrap(String("message", string(e.Data)))
	}
	kind, failure := string(v.Type), v.Error
	switch {
	case kind == `"error"`, kind == `"response.failed"`, isSet(failure):
		return e.Data
	case named, string(v.Object) == `"error"`: // vLLM's older ones
		return []byte(`{"error":` + string(e.Data) + `}`)
	}
	return nil
}

func isSet(v jsontext.Value) bool {
	return v != nil && v.Kind() != 'n' && v.Kind() != 'f' && string(v) != `""` && string(v) != "{}"
}

func wrap(m Member) []byte {
	return []byte(`{"error":{"` + m.Name + `":` + string(m.Value) + `}}`)
}
