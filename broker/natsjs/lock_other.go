//go:build !unix

package natsjs

import (
	"fmt"
	"os"
)

// lockDir keeps the file open: where there is no flock, an open file at least
// cannot be removed.
func lockDir(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock file: %w", err)
	}
	return func() { _ = f.Close() }, nil
}
