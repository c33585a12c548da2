package mysql

import (
	"context"
	"errors"
	"regexp"
	"strconv"
)

// A LogFile is one file of the server's binary log.
type LogFile struct {
	Name string
	// Size is in bytes.
	Size int64
}

// Files lists the files, oldest first.
func (a *LogAccess) Files(ctx context.Context) ([]LogFile, error) { return a.db.logFiles(ctx) }

func (db *DB) logFiles(ctx context.Context) ([]LogFile, error) {
	rows, err := db.inbox.QueryContext(ctx, `SHOW BINARY LOGS`)
	if err != nil {
		return nil, err
	}
	columns, err := rows.Columns() // MySQL also says whether a file is encrypted
	if err == nil && len(columns) < 2 {
		err = errors.New("the server's list of log files has no sizes")
	}
	if err != nil {
		_ = rows.Close()
		return nil, err
	}
	var files []LogFile
	err = each(rows, func() error {
		var f LogFile
		into := []any{&f.Name, &f.Size}
		for range columns[2:] {
			into = append(into, new(any))
		}
		err := rows.Scan(into...)
		files = append(files, f)
		return err
	})
	return files, err
}

// binaryLogs lists the files; none where there is no log, or the user may not know.
func (db *DB) binaryLogs(ctx context.Context) ([]LogFile, error) {
	files, err := db.logFiles(ctx)
	switch code(err) {
	case codeNoBinaryLog, codeLacksPrivilege:
		return nil, nil
	}
	return files, err
}

// placePattern finds file and offset in both forms of a saved position:
// gtid:<set>@<file>:<offset> and file:<file>:<offset>, with more behind.
var placePattern = regexp.MustCompile(`^(?:gtid:[^@]*@|file:)([^@/:]+):(\d+)(?:[~@/+]|$)`)

func placeOf(position string) (file string, offset int64, ok bool) {
	parts := placePattern.FindStringSubmatch(position)
	if parts == nil {
		return "", 0, false
	}
	offset, err := strconv.ParseInt(parts[2], 10, 64)
	return parts[1], offset, err == nil
}

// reach returns how many bytes of log there are behind a place, and in the
// files from there on; -1 where the file is not there.
func reach(files []LogFile, file string, offset int64) (behind, retained int64) {
	behind, retained = -1, -1
	for _, f := range files {
		switch {
		case f.Name == file:
			behind, retained = max(f.Size-offset, 0), f.Size
		case behind >= 0:
			behind, retained = behind+f.Size, retained+f.Size
		}
	}
	return behind, retained
}

var numberPattern = regexp.MustCompile(`^(.*)\.(\d+)$`)

// older tells whether a file comes before another one of the same name.
func older(file, than string) bool {
	a, b := numberPattern.FindStringSubmatch(file), numberPattern.FindStringSubmatch(than)
	if a == nil || b == nil || a[1] != b[1] {
		return false
	}
	x, errX := strconv.ParseInt(a[2], 10, 64)
	y, errY := strconv.ParseInt(b[2], 10, 64)
	return errX == nil && errY == nil && x < y
}
