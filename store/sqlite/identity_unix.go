//go:build unix

package sqlite

import (
	"fmt"
	"os"
	"syscall"
)

// identity is what the file system says of the database file: a copy, a restored
// backup and a file that was renamed into its place have another inode. The
// device's number is left out, as it may change when the machine starts.
func identity(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("identify the database file: %w", err)
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return fmt.Sprintf("sqlite inode %d", stat.Ino), nil
	}
	return "sqlite", nil
}
