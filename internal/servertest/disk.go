package servertest

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// mountSmall puts a small file system in memory at dir, and returns what unmounts it.
func mountSmall(t testing.TB, dir string, mebibytes int) (unmount func()) {
	t.Helper()
	size := "size=" + strconv.Itoa(mebibytes) + "m"
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", size, "tmpfs", dir).CombinedOutput(); err != nil {
		// Root in a container may be root without this right: nothing that the
		// machine could be given by installing it.
		t.Skipf("cannot mount a small disk: %v: %s", err, out)
	}
	return func() {
		// Servers that end may hold it for a moment.
		if out, err := exec.Command("umount", "--lazy", dir).CombinedOutput(); err != nil {
			t.Errorf("unmount the small disk: %v: %s", err, out)
		}
	}
}

// Fill leaves no byte free on the disk of [PrivateSmall]'s servers. The function
// that it returns frees what it took.
func (s *Servers) Fill() (free func()) {
	s.t.Helper()
	path := filepath.Join(s.dir(), "filler")
	f, err := os.Create(path)
	if err != nil {
		s.t.Fatalf("fill the disk: %v", err)
	}
	defer f.Close()
	for size := 1 << 20; size > 0; {
		_, err := f.Write(make([]byte, size))
		switch {
		case errors.Is(err, syscall.ENOSPC):
			size /= 2
		case err != nil:
			s.t.Fatalf("fill the disk: %v", err)
		}
		// The end of the file may have grown by a part of what was written.
		if _, err := f.Seek(0, io.SeekEnd); err != nil {
			s.t.Fatalf("fill the disk: %v", err)
		}
	}
	return func() {
		if err := os.Remove(path); err != nil {
			s.t.Errorf("free the disk: %v", err)
		}
	}
}

// dir is where these servers keep their data.
func (s *Servers) dir() string {
	dir := ""
	for _, variable := range s.environment {
		if value, ok := strings.CutPrefix(variable, "TIDINGS_SERVERS_DIR="); ok {
			dir = value // the last one counts
		}
	}
	return dir
}

// ForgetOffsets starts Kafka again without what it keeps of its consumers. Kafka 4.1
// cannot read that any more where the disk was full at the wrong moment, and serves
// none of them until somebody does this; they begin at the oldest message again.
func (s *Servers) ForgetOffsets() {
	s.t.Helper()
	s.Stop("kafka")
	kept, err := filepath.Glob(filepath.Join(s.dir(), "kafka", "data", "__consumer_offsets-*"))
	for _, dir := range kept {
		err = errors.Join(err, os.RemoveAll(dir))
	}
	if err != nil {
		s.t.Errorf("remove the offsets of Kafka's consumers: %v", err)
	}
	s.Start("kafka")
}
