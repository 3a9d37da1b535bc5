package saaslitellm

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// journal is the list of this process's open jobs: lines "+ID", "=ID status" once the call has
// ended, and "-ID". It survives a kill, not a power failure, which is worth no fsync a call.
// Each process has a file of its own and keeps it locked, so that others can tell when it died.
// An error of writing is not told: the call it would spoil has been paid for.
type journal struct {
	dir, prefix string

	mu   sync.Mutex
	file *os.File
	open map[string]string // status by id
}

// maxIdle is how big a file may be that lists no open job.
const maxIdle = 64 << 10

// openJournal makes this process's file. Whose are the server and team that owner names are
// told by the files' names, as only they know the jobs.
func openJournal(dir, owner string) (*journal, error) {
	if dir == "" {
		return nil, errors.New("no state directory")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	sum := sha256.Sum256([]byte(owner))
	j := &journal{dir: dir, prefix: "jobs-" + hex.EncodeToString(sum[:8]) + "-", open: map[string]string{}}
	for range 10 {
		f, err := os.CreateTemp(dir, j.prefix+"*")
		if err != nil {
			return nil, err
		}
		if tryLock(f) && isThere(f) {
			j.file = f
			return j, nil
		}
		_ = f.Close()
	}
	return nil, errors.New("lock a new file: others are always faster")
}

// isThere tells whether the file still has its name: before it was locked, another process may
// have taken it for a dead one's.
func isThere(f *os.File) bool {
	mine, err := f.Stat()
	if err != nil {
		return false
	}
	named, err := os.Stat(f.Name())
	return err == nil && os.SameFile(mine, named)
}

func (j *journal) opened(id string)        { j.note("+"+id, func() { j.open[id] = "" }) }
func (j *journal) ended(id, status string) { j.note("="+id+" "+status, func() { j.open[id] = status }) }
func (j *journal) completed(id string)     { j.note("-"+id, func() { delete(j.open, id) }) }

func (j *journal) note(line string, change func()) {
	j.mu.Lock()
	defer j.mu.Unlock()
	change()
	_, _ = j.file.WriteString(line + "\n")
	if end, err := j.file.Seek(0, 1); len(j.open) == 0 && err == nil && end > maxIdle {
		if j.file.Truncate(0) == nil {
			_, _ = j.file.Seek(0, 0)
		}
	}
}

// inherit takes over the open jobs of the dead and removes their files. They are in this
// process's file first.
func (j *journal) inherit() map[string]string {
	names, _ := filepath.Glob(filepath.Join(j.dir, j.prefix+"*"))
	all := map[string]string{}
	for _, name := range names {
		if name != j.file.Name() {
			maps.Copy(all, j.inheritFile(name))
		}
	}
	return all
}

func (j *journal) inheritFile(name string) map[string]string {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return nil
	}
	defer func() { _ = f.Close() }()
	if !tryLock(f) { // it lives
		return nil
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return nil
	}
	jobs := readJournal(text)
	for id, status := range jobs {
		j.ended(id, status)
	}
	_ = f.Truncate(0) // some systems remove no open file
	_ = os.Remove(name)
	return jobs
}

// readJournal gives the jobs that are open, with their status. A line that was cut short when
// its process died is none.
func readJournal(text []byte) map[string]string {
	open := map[string]string{}
	for line := range bytes.Lines(text) {
		if len(line) < 2 || line[len(line)-1] != '\n' {
			continue
		}
		id, status, _ := strings.Cut(string(line[1:len(line)-1]), " ")
		switch {
		case !isID(id):
		case line[0] == '-':
			delete(open, id)
		default:
			open[id] = status
		}
	}
	return open
}

// close leaves the file to the next process if a job is still open.
func (j *journal) close() {
	_ = j.file.Close()
	if len(j.open) == 0 {
		_ = os.Remove(j.file.Name())
	}
}
