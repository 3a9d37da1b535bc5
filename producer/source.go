package producer

import (
	"bufio"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"math"
	"os"
	"path/filepath"
)

const (
	gzipMagic  = "\x1f\x8b"
	bom        = "\ufeff"
	utf16LE    = "\xff\xfe"
	utf16BE    = "\xfe\xff"
	readBuffer = 64 << 10
)

var errUTF16 = errors.New("the text is UTF-16")

// Source is a batch file that can be read more than once, by several readers at a time.
type Source struct {
	file    *os.File
	name    string // for people
	gzipped bool
	temp    bool
}

// SourceError says why a batch file cannot be used. It unwraps to the system's error.
type SourceError struct {
	text, hint string
	err        error
}

// Error returns one line that names the file.
func (e *SourceError) Error() string { return e.text }

// Hint returns what to do about it, for a person at a terminal.
func (e *SourceError) Hint() string { return e.hint }

// Unwrap returns the error of the system, if there is one.
func (e *SourceError) Unwrap() error { return e.err }

// Open opens a batch file, plain or gzip; which of them is told by its first bytes, not its name.
// It must be a regular file, because it is read twice. Every error is a *[SourceError].
func Open(path string) (*Source, error) {
	// A look before opening: to open a named pipe would wait for somebody who writes to it.
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, openError(err)
	case info.IsDir():
		return nil, &SourceError{text: "open " + path + ": is a directory", hint: "name a file in it"}
	case !info.Mode().IsRegular():
		return nil, &SourceError{
			text: "open " + path + ": not a regular file",
			hint: "a batch is read twice; give it on standard input and it is copied first",
		}
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, openError(err)
	}
	return newSource(file, filepath.Base(path), false)
}

// Spool copies r, standard input, to a temporary file in dir that only its owner can read.
// Close removes it. The copy goes on until r ends. Every error is a *[SourceError].
func Spool(r io.Reader, dir string) (*Source, error) {
	file, err := os.CreateTemp(dir, "stdin-*.jsonl") // 0600
	if err != nil {
		return nil, spoolError(err)
	}
	if _, err := io.Copy(file, r); err != nil {
		return nil, spoolError(errors.Join(err, file.Close(), os.Remove(file.Name())))
	}
	return newSource(file, "stdin", true)
}

func newSource(file *os.File, name string, temp bool) (*Source, error) {
	s := &Source{file: file, name: name, temp: temp}
	magic := make([]byte, len(gzipMagic))
	n, err := file.ReadAt(magic, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, errors.Join(s.readError(err), s.Close())
	}
	s.gzipped = string(magic[:n]) == gzipMagic
	return s, nil
}

// Close closes the file, and removes it if it is a spool.
func (s *Source) Close() error {
	err := s.file.Close()
	if s.temp {
		err = errors.Join(err, os.Remove(s.file.Name()))
	}
	if err != nil {
		return fmt.Errorf("close %s: %w", s.name, err)
	}
	return nil
}

// Name returns the base name of the file, or "stdin" for a spool.
func (s *Source) Name() string { return s.name }

// Lines reads the lines that are not blank, from the start of the file at every call, with the
// default of [Limits]. An error ends it: ctx's, or a *[SourceError] for the file's.
func (s *Source) Lines(ctx context.Context) iter.Seq2[Line, error] {
	return s.lines(ctx, Limits{})
}

func (s *Source) lines(ctx context.Context, limits Limits) iter.Seq2[Line, error] {
	return func(yield func(Line, error) bool) {
		r, err := s.reader()
		if err != nil {
			yield(Line{}, s.readError(err))
			return
		}
		lines := lineReader{r: r, max: limits.maxLine()}
		for {
			line, err := lines.next(ctx)
			switch {
			case errors.Is(err, io.EOF):
				return
			case ctx.Err() != nil:
				yield(Line{}, ctx.Err())
				return
			case err != nil:
				yield(Line{}, s.readError(err))
				return
			}
			if !yield(line, nil) {
				return
			}
		}
	}
}

// reader starts at the first byte of the text. It keeps its own position in the file.
func (s *Source) reader() (*bufio.Reader, error) {
	raw := io.NewSectionReader(s.file, 0, math.MaxInt64)
	r := bufio.NewReaderSize(raw, readBuffer)
	if s.gzipped {
		text, err := gzip.NewReader(r)
		if err != nil {
			return nil, err
		}
		r = bufio.NewReaderSize(text, readBuffer)
	}
	start, err := r.Peek(len(bom))
	switch {
	case err != nil && !errors.Is(err, io.EOF):
		return nil, err
	case string(start) == bom:
		_, err = r.Discard(len(bom))
		return r, err
	case bytes.HasPrefix(start, []byte(utf16LE)), bytes.HasPrefix(start, []byte(utf16BE)):
		return nil, errUTF16
	}
	return r, nil
}

func openError(err error) error {
	hint := "see whether the file can be read at all"
	switch {
	case errors.Is(err, fs.ErrNotExist):
		hint = "check the path"
	case errors.Is(err, fs.ErrPermission):
		hint = "check who may read the file and its directories"
	}
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		return &SourceError{text: "open " + path.Path + ": " + path.Err.Error(), hint: hint, err: err}
	}
	return &SourceError{text: "open batch file: " + err.Error(), hint: hint, err: err}
}

func spoolError(err error) error {
	return &SourceError{
		text: "copy standard input: " + err.Error(),
		hint: "it is copied to a file because a batch is read twice; see whether the disk is full",
		err:  err,
	}
}

func (s *Source) readError(err error) error {
	e := &SourceError{text: "read " + s.name + ": " + err.Error(), hint: "try again", err: err}
	var corrupt flate.CorruptInputError
	switch {
	case errors.Is(err, errUTF16):
		e.hint = "save it as UTF-8"
	case !s.gzipped:
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		e.text = "read " + s.name + ": the gzip data ends too early"
		e.hint = "copy the file again, or wait until it is written"
	case errors.Is(err, gzip.ErrHeader), errors.Is(err, gzip.ErrChecksum), errors.As(err, &corrupt):
		e.text = "read " + s.name + ": the gzip data is damaged"
		e.hint = "copy the file again; gzip -t tells whether it is whole"
	}
	return e
}
