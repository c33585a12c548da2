package migrate

import (
	"context"
	"database/sql"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// A file is one migration.
type file struct {
	version int64
	name    string
	up      string
}

// files returns the migrations by version.
func (s *Set) files() ([]file, error) {
	// Glob sorts by name, and the numbers in the names have the same length.
	names, err := fs.Glob(s.Files, "*.sql")
	if err != nil {
		return nil, fmt.Errorf("list migration files: %w", err)
	}
	files := make([]file, 0, len(names))
	for _, name := range names {
		text, err := fs.ReadFile(s.Files, name)
		if err != nil {
			return nil, fmt.Errorf("read migration: %w", err)
		}
		number, title, ok := strings.Cut(strings.TrimSuffix(path.Base(name), ".sql"), "_")
		version, err := strconv.ParseInt(number, 10, 64)
		if !ok || err != nil || len(number) != 5 {
			return nil, fmt.Errorf("migration %s is not named NNNNN_name.sql", name)
		}
		files = append(files, file{version: version, name: title, up: upPart(string(text))})
	}
	return files, nil
}

// upPart returns the statements between "-- +goose Up" and "-- +goose Down",
// without the lines that only goose reads.
func upPart(text string) string {
	var b strings.Builder
	up := false
	for line := range strings.Lines(text) {
		directive, isDirective := strings.CutPrefix(strings.TrimSpace(line), "-- +goose ")
		switch {
		case isDirective && directive == "Up":
			up = true
		case isDirective && directive == "Down":
			up = false
		case !isDirective && up:
			b.WriteString(line)
		}
	}
	return b.String()
}

// A recorder keeps the text of a statement instead of running it.
type recorder struct{ query string }

func (r *recorder) ExecContext(_ context.Context, query string, _ ...any) (sql.Result, error) {
	r.query = query
	return nil, nil
}

func (r *recorder) QueryContext(context.Context, string, ...any) (*sql.Rows, error) {
	return nil, sql.ErrNoRows
}

func (r *recorder) QueryRowContext(context.Context, string, ...any) *sql.Row { return nil }
