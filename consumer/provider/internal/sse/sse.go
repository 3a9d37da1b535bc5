// Package sse reads server-sent events as the HTML standard has them. It knows nothing of what
// the events mean.
package sse

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// Event is one event with data; others are not given out.
type Event struct {
	// Name is the event's type; empty where the stream gives none.
	Name string
	// Data is the event's data, its lines joined by newlines. It is the caller's to keep.
	Data []byte
}

// Reader reads events. It buffers, so nobody else can read on from where it stopped.
type Reader struct {
	b       *bufio.Reader
	begun   bool
	rest    []byte // of a piece that holds lines ended by a bare carriage return
	hasRest bool
}

// NewReader returns a Reader of r, which bounds what an event may take up.
func NewReader(r io.Reader) *Reader { return &Reader{b: bufio.NewReaderSize(r, 8<<10)} }

// Next gives the next event, io.EOF when there is none. A line cut short by the end is dropped;
// an event of whole lines is given, although only its empty line would make it one, as some
// servers leave out the last.
func (r *Reader) Next() (Event, error) {
	var e Event
	for {
		line, err := r.line()
		switch {
		case errors.Is(err, io.EOF) && e.Data != nil:
			return e, nil
		case err != nil:
			return Event{}, err
		case len(line) > 0:
			e.take(line)
		case e.Data != nil:
			return e, nil
		default:
			e = Event{}
		}
	}
}

func (e *Event) take(line []byte) {
	field, value, _ := bytes.Cut(line, []byte(":"))
	value = bytes.TrimPrefix(value, []byte(" "))
	switch string(field) {
	case "event":
		e.Name = string(value)
	case "data":
		if e.Data == nil {
			e.Data = append([]byte{}, value...)
			return
		}
		e.Data = append(append(e.Data, '\n'), value...)
	}
}

// line gives the next line without its end: \n, \r\n or \r. The last of them is seen only when
// a \n or the end of the stream follows, which is soon enough: no known server sends it.
func (r *Reader) line() ([]byte, error) {
	if !r.hasRest {
		if err := r.fill(); err != nil {
			return nil, err
		}
	}
	line, rest, more := bytes.Cut(r.rest, []byte("\r"))
	r.rest, r.hasRest = rest, more
	return line, nil
}

// fill reads up to the next \n.
func (r *Reader) fill() error {
	piece, err := r.b.ReadBytes('\n')
	switch {
	case err == nil:
		piece = bytes.TrimSuffix(piece[:len(piece)-1], []byte("\r"))
	case errors.Is(err, io.EOF) && bytes.IndexByte(piece, '\r') >= 0:
		piece = piece[:bytes.LastIndexByte(piece, '\r')]
	default:
		return err
	}
	if !r.begun {
		piece = bytes.TrimPrefix(piece, []byte("\ufeff"))
	}
	r.begun, r.rest, r.hasRest = true, piece, true
	return nil
}
