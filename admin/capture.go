package admin

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"tidings.example"
)

// A Capture writes the changes of tables to the outbox by triggers, for services
// that cannot be changed. The triggers run in the transactions of the service.
type Capture interface {
	// InstallCapture installs the triggers for a table, or replaces those that
	// differ. It reports whether anything changed: nothing is done, and nothing
	// is recorded, where the same is installed already.
	InstallCapture(ctx context.Context, s CaptureSpec, a Action) (c Captured, changed bool, err error)
	// RemoveCapture removes the triggers of a table; ErrNotFound if it has none.
	// Messages that are in the outbox stay.
	RemoveCapture(ctx context.Context, schema, table string, a Action) error
	// Captures returns what is installed, by schema and table.
	Captures(ctx context.Context) ([]Captured, error)
	// CaptureSQL returns what InstallCapture would run on the table as it is
	// now, and what would remove it again. It changes nothing.
	CaptureSQL(ctx context.Context, s CaptureSpec) (install, remove string, err error)
}

// A CaptureSpec says what to capture. Table and Channel are required.
type CaptureSpec struct {
	// Schema of the table (MySQL: its database); default: the connection's.
	Schema string
	Table  string
	// Channel of the messages.
	Channel string
	// Type is the first part of the messages' types, before ".inserted" and so
	// on; default: the table's name.
	Type string
	// Key are the columns of the message key; default: the primary key.
	Key []string
	// Only are the operations to capture, out of "insert", "update", "delete";
	// default: all.
	Only []string
	// Columns are those to capture, Except those to leave out; default: all are
	// captured. Only one of the two may be given.
	Columns, Except []string
}

// A Captured is a table whose changes are captured.
type Captured struct {
	CaptureSpec
	// Version changes with the columns that are captured and their types; it is
	// in every message.
	Version string
	// Fields are the captured columns with their types, in the order of the table.
	Fields []CapturedField
	// Since is when the triggers were installed as they are.
	Since time.Time
	// Problems say in a line each why the triggers no longer fit the table;
	// installing again cures them.
	Problems []string
	// Warnings say in a line each which changes no trigger sees.
	Warnings []string
}

// A CapturedField is one column.
type CapturedField struct {
	Name string
	// Type is the database's name of the type.
	Type string
}

// CaptureOperations are all that can be captured.
var CaptureOperations = []string{"insert", "update", "delete"}

// A CaptureSpecError says what is wrong with which part of a [CaptureSpec].
type CaptureSpecError struct {
	Field   string // as the flag of tidings capture install is called
	Problem string // continues the field's name
}

func (e *CaptureSpecError) Error() string { return e.Field + e.Problem }

// BadCaptureSpec returns a [*CaptureSpecError].
func BadCaptureSpec(field, problem string, args ...any) error {
	return &CaptureSpecError{Field: field, Problem: fmt.Sprintf(problem, args...)}
}

// ValidateCaptureSpec checks what can be checked without the database. The error
// is a [*CaptureSpecError].
func ValidateCaptureSpec(s *CaptureSpec) error {
	switch {
	case s.Table == "":
		return BadCaptureSpec("table", " is missing: name the table whose changes to capture")
	case strings.HasPrefix(strings.ToLower(s.Table), "tidings_"):
		return BadCaptureSpec("table", ": %q is one of Tidings' own: its changes cannot be captured", s.Table)
	case len(s.Columns) > 0 && len(s.Except) > 0:
		return BadCaptureSpec("columns", " and except cannot be given together")
	}
	if err := tidings.ValidateName("channel", s.Channel); err != nil {
		return BadCaptureSpec("channel", ": %s", err)
	}
	if s.Type != "" {
		if err := tidings.ValidateName("type", s.Type); err != nil {
			return BadCaptureSpec("type", ": %s", err)
		}
	}
	for i, op := range s.Only {
		if !slices.Contains(CaptureOperations, op) {
			return BadCaptureSpec("only", ": %q is not one of %s", op, strings.Join(CaptureOperations, ", "))
		}
		if slices.Contains(s.Only[:i], op) {
			return BadCaptureSpec("only", ": %q is given twice", op)
		}
	}
	return nil
}
