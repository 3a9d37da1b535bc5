package policy

import (
	"net/textproto"
	"time"
)

// Call is one request to a provider: which endpoint, and what to send.
type Call struct {
	// ID names the job in the provider's own logs; it never holds any of the prompt.
	ID string
	// Path is the endpoint below the provider's base URL, such as /v1/chat/completions.
	Path string
	// Body is the request as JSON.
	Body []byte
}

// Reply is what came back from one call: an HTTP reply read to its end, or the error
// that stood in its way.
type Reply struct {
	// Status is the HTTP status code; 0 when no reply came.
	Status int
	// Header holds the reply's headers under their canonical names.
	Header textproto.MIMEHeader
	// Body is the whole body. With Err set it may be cut short.
	Body []byte
	// Err is the transport's error: no connection, a reset, a body that ended early, a timeout.
	Err error
	// Latency is the time from sending the request to the last byte of the body.
	Latency time.Duration
}
