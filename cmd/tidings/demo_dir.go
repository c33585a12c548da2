package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// dataDir is the demo's directory. Each process of the demo holds a lock in it,
// so that no two of the same work on the same data.
type dataDir struct {
	path  string
	locks []*os.File
}

// openDataDir creates the directory if it is missing and locks it for the
// processes with these names. Locks end with this process, however it ends.
func openDataDir(path string, names []string) (*dataDir, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("find the data directory: %w", err)
	}
	d := &dataDir{path: path}
	if err := os.MkdirAll(path, 0o750); err != nil {
		return nil, d.explain("create", err)
	}
	for _, name := range names {
		if err := d.lock(name); err != nil {
			d.close()
			return nil, err
		}
	}
	return d, nil
}

func (d *dataDir) lock(name string) error {
	path := filepath.Join(d.path, name+".lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o640)
	if err != nil {
		return d.explain("write to", err)
	}
	free, err := tryLock(f)
	if err == nil && !free {
		holder := "another demo"
		if b, e := os.ReadFile(path); e == nil && len(b) > 0 {
			holder += " (process " + strings.TrimSpace(string(b)) + ")"
		}
		err = fmt.Errorf("data directory %s: %s runs %s in it; stop that one, or choose another directory with --dir", d.path, holder, name)
	} else if err != nil {
		err = d.explain("lock", err)
	}
	if err != nil {
		_ = f.Close()
		return err
	}
	d.locks = append(d.locks, f)
	// For the one who finds it locked.
	if err := f.Truncate(0); err != nil {
		return d.explain("write to", err)
	}
	if _, err := f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0); err != nil {
		return d.explain("write to", err)
	}
	return nil
}

// explain says what is wrong with the directory, and what to do.
func (d *dataDir) explain(verb string, err error) error {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		err = pathErr.Err
	}
	return fmt.Errorf("cannot %s the data directory %s: %w; choose another with --dir", verb, d.path, err)
}

// file is a path in the directory.
func (d *dataDir) file(name string) string { return filepath.Join(d.path, name) }

func (d *dataDir) close() {
	for _, f := range d.locks {
		_ = f.Close() // nothing is left to write
	}
	d.locks = nil
}
