package producer

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
)

// Line is a line of a batch file, without its line ending.
type Line struct {
	Number int    // from 1, blank lines counted
	Data   []byte // valid until the next iteration; nil if the line is over the limit
	Size   int    // bytes, also where Data is nil

	end int64 // bytes of text up to here
}

// lineReader reads lines and holds one of them at most, and none that is longer than max.
type lineReader struct {
	r      *bufio.Reader
	max    int
	long   []byte // a line that does not fit r's buffer
	number int
	offset int64
}

// next returns the next line that is not blank, and io.EOF after the last.
func (l *lineReader) next(ctx context.Context) (Line, error) {
	for {
		raw, size, err := l.read(ctx)
		if err != nil {
			return Line{}, err
		}
		l.number++
		l.offset += int64(size)
		data, ending := cutEnding(raw)
		line := Line{Number: l.number, Data: data, Size: size - ending, end: l.offset}
		if line.Size > l.max {
			line.Data = nil
			return line, nil
		}
		if len(bytes.TrimLeft(data, " \t\r")) > 0 {
			return line, nil
		}
	}
}

// read returns the next line with its ending and its size. Of a line over the limit it returns
// the end only. The end of the text ends a line, too.
func (l *lineReader) read(ctx context.Context) (raw []byte, size int, err error) {
	raw, err = l.part(ctx)
	size = len(raw)
	if !errors.Is(err, bufio.ErrBufferFull) {
		return raw, size, ignoreEOF(err, size)
	}
	l.long = append(l.long[:0], raw...)
	for errors.Is(err, bufio.ErrBufferFull) {
		raw, err = l.part(ctx)
		size += len(raw)
		l.long = append(l.long, raw...)
		if most := l.max + len("\r\n"); size > most {
			l.long = append(l.long[:0], l.long[len(l.long)-len("\r\n"):]...)
		}
	}
	return l.long, size, ignoreEOF(err, size)
}

func ignoreEOF(err error, size int) error {
	if size > 0 && errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// part reads to the end of the line, of the buffer or of the text.
func (l *lineReader) part(ctx context.Context) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return l.r.ReadSlice('\n')
}

func cutEnding(raw []byte) (data []byte, ending int) {
	data, ok := bytes.CutSuffix(raw, []byte("\n"))
	if ok {
		data = bytes.TrimSuffix(data, []byte("\r"))
	}
	return data, len(raw) - len(data)
}
