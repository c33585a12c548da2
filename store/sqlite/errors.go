package sqlite

import (
	"database/sql/driver"
	"errors"
	"fmt"

	sqlite "modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"
)

// primaryCode is SQLite's result code without the extension, or 0.
func primaryCode(err error) int {
	var e *sqlite.Error
	if errors.As(err, &e) {
		return e.Code() & 0xff
	}
	return 0
}

// transient reports whether the same may succeed later.
func transient(err error) bool {
	if errors.Is(err, errQueueTimeout) || errors.Is(err, driver.ErrBadConn) {
		return true
	}
	switch primaryCode(err) {
	case lib.SQLITE_BUSY, lib.SQLITE_LOCKED, lib.SQLITE_PROTOCOL, // others write
		lib.SQLITE_FULL, lib.SQLITE_IOERR, // somebody may make room
		lib.SQLITE_NOMEM, lib.SQLITE_INTERRUPT:
		return true
	}
	return false
}

// explain says what to do about an error that has to do with the file.
func explain(err error) error {
	switch primaryCode(err) {
	case lib.SQLITE_CANTOPEN, lib.SQLITE_READONLY, lib.SQLITE_PERM:
		return fmt.Errorf("the file and its directory must be writable, since SQLite keeps files beside the database: %w", err)
	case lib.SQLITE_FULL:
		return fmt.Errorf("the disk is full: %w", err)
	case lib.SQLITE_IOERR:
		return fmt.Errorf("the disk is full or fails: %w", err)
	case lib.SQLITE_NOTADB:
		return fmt.Errorf("the file is not a SQLite database: %w", err)
	case lib.SQLITE_CORRUPT:
		return fmt.Errorf("the database file is damaged: %w", err)
	case lib.SQLITE_BUSY:
		return fmt.Errorf("another process has the database locked: %w", err)
	}
	return err
}
