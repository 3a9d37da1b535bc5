package broker

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

const (
	lockFile     = "lock"
	versionFile  = "version"
	storeVersion = 1

	// minFree is what a broker needs on disk to start: its blocks, and room to write an ending.
	minFree = 64 << 20
	// maxDir leaves the streams and consumers below the directory 256 bytes of the shortest path
	// limit of the systems we run on, the 1,024 of macOS.
	maxDir = 768
)

// errLocked means that a broker runs on the store.
var errLocked = errors.New("locked")

// openDir makes the directory of a store if it is missing and returns its full path.
func openDir(dir string) (string, error) {
	if dir == "" {
		return "", errors.New("open store: no directory given: choose one with --store")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("open store: %w", err)
	}
	if len(dir) > maxDir {
		return "", explain(dir, syscall.ENAMETOOLONG)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", explain(dir, err)
	}
	if err := checkOurs(dir); err != nil {
		return "", err
	}
	return dir, checkVersion(dir)
}

// checkOurs refuses a directory that holds anything else, such as a home directory given by
// mistake, before a file is written to it.
func checkOurs(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return explain(dir, err)
	}
	ours := []string{lockFile, versionFile, addressFile, "jetstream", "lost+found"}
	for _, e := range entries {
		if !slices.Contains(ours, strings.TrimSuffix(e.Name(), ".tmp")) {
			return fmt.Errorf("open store %s: it holds %q, which is not a store's: "+
				"choose an empty directory with --store", dir, e.Name())
		}
	}
	return nil
}

// checkVersion refuses what this program cannot read. A store without a version is new: the file
// may also be empty, if the power failed when the store was made.
func checkVersion(dir string) error {
	data, err := os.ReadFile(filepath.Join(dir, versionFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return explain(dir, err)
	}
	text := strings.TrimSpace(string(data))
	if text == "" {
		return nil
	}
	v, err := strconv.Atoi(text)
	if err != nil || v < 1 {
		return fmt.Errorf("open store %s: its version %q is no number: "+
			"choose another directory with --store", dir, text)
	}
	if v > storeVersion {
		return fmt.Errorf("open store %s: it was written by a newer nightshift (store version %d, "+
			"this one reads up to %d): upgrade, or choose another with --store",
			dir, v, storeVersion)
	}
	return nil
}

// prepare readies a store for its new owner: it forgets the address of the one before and checks
// the version again, now that it cannot change. It returns how many bytes the store may take.
func prepare(dir string) (int64, error) {
	if err := (address{PID: os.Getpid()}).write(dir); err != nil {
		return 0, explain(dir, err)
	}
	if err := checkVersion(dir); err != nil {
		return 0, err
	}
	if err := replaceFile(dir, versionFile, fmt.Appendln(nil, storeVersion)); err != nil {
		return 0, explain(dir, err)
	}
	free, err := freeSpace(dir)
	if err != nil {
		return 0, fmt.Errorf("measure disk of %s: %w", dir, err)
	}
	used, err := size(dir)
	if err != nil {
		return 0, fmt.Errorf("measure store %s: %w", dir, err)
	}
	return limit(dir, free, used)
}

// limit is nine tenths of what the store has or could have. Where others filled the disk it is
// still above what the store holds, or endings could not be written and the queue never drained.
func limit(dir string, free, used int64) (int64, error) {
	if free < minFree {
		return 0, fmt.Errorf("open store %s: only %d MiB free on its disk, at least %d needed: "+
			"free some, or choose another disk with --store", dir, free>>20, int64(minFree)>>20)
	}
	return max((free+used)/10*9, used+free/2), nil
}

// size adds up the files of the store.
func size(dir string) (int64, error) {
	var sum int64
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			sum += info.Size()
		}
		return err
	})
	return sum, err
}

// explain says what a user can do about an error of the file system.
func explain(dir string, err error) error {
	hint := "is the disk in order?"
	switch {
	case errors.Is(err, syscall.ENOSPC):
		hint = "the disk is full: free some space"
	case errors.Is(err, syscall.ENOTDIR), errors.Is(err, fs.ErrExist):
		hint = "it is a file, or below one: choose a directory with --store"
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		hint = "this user cannot write there: choose another directory with --store"
	case errors.Is(err, syscall.ENAMETOOLONG):
		hint = fmt.Sprintf("choose a path of at most %d bytes with --store", maxDir)
	}
	return fmt.Errorf("open store %s: %w: %s", dir, err, hint)
}
