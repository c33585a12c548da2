package mysql

import (
	"context"
	"regexp"
	"strconv"
)

// A logFile is one file of the server's binary log.
type logFile struct {
	name string
	size int64
}

// binaryLogs lists the files, oldest first; none where the user may not know.
func (db *DB) binaryLogs(ctx context.Context) ([]logFile, error) {
	rows, err := db.inbox.QueryContext(ctx, `SHOW BINARY LOGS`)
	switch code(err) {
	case codeNoBinaryLog, codeLacksPrivilege:
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	columns, err := rows.Columns() // MySQL also says whether a file is encrypted
	if err != nil {
		return nil, err
	}
	var files []logFile
	err = each(rows, func() error {
		var f logFile
		into := []any{&f.name, &f.size}
		for range columns[2:] {
			into = append(into, new(any))
		}
		err := rows.Scan(into...)
		files = append(files, f)
		return err
	})
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
func reach(files []logFile, file string, offset int64) (behind, retained int64) {
	behind, retained = -1, -1
	for _, f := range files {
		switch {
		case f.name == file:
			behind, retained = max(f.size-offset, 0), f.size
		case behind >= 0:
			behind, retained = behind+f.size, retained+f.size
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
