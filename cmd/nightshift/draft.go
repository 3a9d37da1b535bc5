package main

import (
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// draft is a file that is being written. It has another name until it is whole.
type draft struct {
	name string // as the user wrote it; empty for standard output
	path string // where it goes, behind symbolic links
	part string // empty if it is written in place, as a device or a pipe is
	f    *os.File
	w    *bufio.Writer
	zip  *gzip.Writer // what w writes to, where it is compressed; else nil
}

// gz says whether the file is compressed: its name ends in .gz.
func (d *draft) gz() bool { return d.part != "" && strings.HasSuffix(d.name, ".gz") }

// dir is a directory with room for what the draft takes, as far as one can know.
func (d *draft) dir() string {
	if d.part == "" {
		return os.TempDir()
	}
	return filepath.Dir(d.part)
}

func stdoutDraft(w io.Writer) *draft { return &draft{w: bufio.NewWriterSize(w, 64<<10)} }

// newDraft looks whether the file can be written, and leaves nothing behind.
func newDraft(name string) (*draft, error) {
	d := &draft{name: name, path: name}
	info, err := os.Stat(name)
	switch {
	case err == nil && info.IsDir():
		return nil, hint(fmt.Errorf("output %s is a directory", name), "name a file with -o")
	case err == nil && !info.Mode().IsRegular():
		return d, nil
	case err == nil:
		if path, err := filepath.EvalSymlinks(name); err == nil {
			d.path = path
		}
	case strings.HasSuffix(name, string(filepath.Separator)):
		return nil, hint(fmt.Errorf("output %s is no name of a file", name), "name a file with -o")
	}
	d.part = filepath.Join(filepath.Dir(d.path), "."+filepath.Base(d.path)+".part")
	if err := d.open(); err != nil {
		return nil, hint(fmt.Errorf("output %s cannot be written: %w", name, reason(err)), "name another place with -o")
	}
	d.abandon()
	return d, nil
}

// open opens the draft, alone: another run may be writing the same one.
func (d *draft) open() error {
	if d.part == "" {
		f, err := os.OpenFile(d.path, os.O_WRONLY, 0) // no O_TRUNC: it may be /dev/stdout of somebody
		d.take(f)
		return err
	}
	for {
		f, err := os.OpenFile(d.part, os.O_WRONLY|os.O_CREATE, 0o600)
		if err != nil {
			return err
		}
		if err := lockDraft(f); err != nil {
			return errors.Join(err, f.Close())
		}
		if isStill(f, d.part) {
			d.take(f)
			return f.Truncate(0)
		}
		_ = f.Close() // the other run has given it its name, or removed it, meanwhile
	}
}

func (d *draft) take(f *os.File) {
	d.f, d.zip, d.w = f, nil, bufio.NewWriterSize(f, 256<<10)
	if d.gz() {
		d.zip = gzip.NewWriter(f)
		d.w.Reset(d.zip)
	}
}

// flush lets a reader see what was written so far.
func (d *draft) flush() error {
	if d.w == nil {
		return nil
	}
	return d.fail(d.w.Flush())
}

func isStill(f *os.File, path string) bool {
	a, err := f.Stat()
	b, err2 := os.Lstat(path)
	return err == nil && err2 == nil && os.SameFile(a, b)
}

// reason is the bare cause of a file error; the name is said already.
func reason(err error) error {
	var p *fs.PathError
	var l *os.LinkError
	switch {
	case errors.As(err, &p):
		return p.Err
	case errors.As(err, &l):
		return l.Err
	}
	return err
}

func (d *draft) line(b []byte) error {
	if d.w == nil {
		if err := d.open(); err != nil {
			return d.fail(err)
		}
	}
	if _, err := d.w.Write(b); err != nil {
		return d.fail(err)
	}
	return d.fail(d.w.WriteByte('\n'))
}

// errWrite tells a failure of the output from one of the broker.
var errWrite = errors.New("write")

func (d *draft) fail(err error) error {
	if err == nil {
		return nil
	}
	return hint(fmt.Errorf("%w %s: %w", errWrite, firstOf(d.name, "standard output"), reason(err)),
		"the answers are safe in the store: run the same command again, with room or another -o")
}

// commit gives the draft its name; nothing half-written ever has it.
func (d *draft) commit() error {
	if d.w == nil { // no line came: an empty file
		if err := d.open(); err != nil {
			return d.fail(err)
		}
	}
	if err := d.w.Flush(); err != nil {
		return d.fail(err)
	}
	if d.zip != nil {
		if err := d.zip.Close(); err != nil {
			return d.fail(err)
		}
	}
	f := d.f
	switch {
	case f == nil:
		return nil
	case d.part == "":
		d.f = nil
		return d.fail(f.Close())
	}
	if err := f.Sync(); err != nil {
		return d.fail(err)
	}
	d.f = nil
	err := finish(f, func() error { return os.Rename(d.part, d.path) })
	if err != nil {
		_ = os.Remove(d.part)
	}
	return d.fail(err)
}

// abandon removes what was written; it does nothing after commit.
func (d *draft) abandon() {
	if d.f == nil {
		return
	}
	_ = finish(d.f, func() error {
		if d.part == "" {
			return nil
		}
		return os.Remove(d.part)
	})
	d.f, d.w = nil, nil
}
