//go:build unix

package natsjs

import (
	"fmt"
	"os"
	"syscall"
)

// lockDir takes a lock that ends with the process, however that ends.
func lockDir(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock file: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("another process uses this directory (%s is locked: %w)", path, err)
	}
	return func() { _ = f.Close() }, nil
}
