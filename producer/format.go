package producer

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go/jetstream"
)

// Format is the version of what the messages in the streams mean. It is raised by a change that an
// older program would misread, never by one that it can skip.
const Format = 1

// formatKey is where a stream carries it, in its metadata.
const formatKey = "nightshift.format"

// ErrNewer says that the streams were made by a newer program, whose messages this one may not
// understand.
var ErrNewer = errors.New("written by a newer nightshift")

// FormatMetadata is the metadata a stream of ours is made with.
func FormatMetadata() map[string]string { return map[string]string{formatKey: strconv.Itoa(Format)} }

// CheckFormat returns an ErrNewer for a stream in a newer format than this program reads. A stream
// without one is of the first: those were made before there was a mark, or by an operator.
func CheckFormat(c jetstream.StreamConfig) error {
	mark, ok := c.Metadata[formatKey]
	if !ok {
		return nil
	}
	v, err := strconv.Atoi(mark)
	if err != nil || v < 1 {
		return fmt.Errorf("stream %s: its %s %q is no number", c.Name, formatKey, mark)
	}
	if v > Format {
		return fmt.Errorf("stream %s: %w (format %d, this one reads up to %d)", c.Name, ErrNewer, v, Format)
	}
	return nil
}
