package capture

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"tidings.example"
	"tidings.example/admin"
)

// A Table is a user's table as the catalog has it.
type Table struct {
	Schema, Name string
	Columns      []Column
	PrimaryKey   []string
}

// A Column is one of a table's.
type Column struct {
	Name string
	// Type is the type as people read it. A change of it is a change of the column.
	Type string
	// Kind is what the dialect goes by.
	Kind string
	// Digits are those behind the point of a second, where the dialect asks for them.
	Digits int
	// Skip is set for a column that triggers cannot read.
	Skip bool
}

// A Plan is what to install on a table.
type Plan struct {
	Settings
	Table   *Table
	columns []Column
	key     []Column
	dialect Dialect
}

// NewPlan decides what to install for spec on the table. An error is an
// [*admin.CaptureSpecError].
func NewPlan(spec admin.CaptureSpec, t *Table, d Dialect, now time.Time) (*Plan, error) {
	if err := admin.ValidateCaptureSpec(&spec); err != nil {
		return nil, err
	}
	spec.Schema, spec.Table = t.Schema, t.Name
	if spec.Type == "" {
		if spec.Type = t.Name; tidings.ValidateName("type", spec.Type) != nil {
			return nil, admin.BadCaptureSpec("type", " is missing: the table's name %q cannot be one; use letters, digits, '.', '_' and '-'", t.Name)
		}
	}
	if len(spec.Only) == 0 {
		spec.Only = admin.CaptureOperations
	}
	spec.Only = slices.Clone(spec.Only)
	slices.SortFunc(spec.Only, func(a, b string) int {
		return slices.Index(admin.CaptureOperations, a) - slices.Index(admin.CaptureOperations, b)
	})
	p := &Plan{Table: t, dialect: d}
	p.KeyGiven, p.Key = len(spec.Key) > 0, spec.Key
	if !p.KeyGiven {
		p.Key = t.PrimaryKey
	}
	if len(p.Key) == 0 {
		return nil, admin.BadCaptureSpec("key", " is missing: table %q has no primary key; name the columns that tell its rows apart", t.Name)
	}
	byName := map[string]Column{}
	for _, c := range t.Columns {
		p.All = append(p.All, admin.CapturedField{Name: c.Name, Type: c.Type})
		byName[c.Name] = c
	}
	for _, given := range []struct {
		field string
		names []string
	}{{"key", p.Key}, {"columns", spec.Columns}, {"except", spec.Except}} {
		for i, name := range given.names {
			c, ok := byName[name]
			switch {
			case !ok:
				return nil, admin.BadCaptureSpec(given.field, ": table %q has no column %q; it has %s", t.Name, name, names(t.Columns))
			case slices.Contains(given.names[:i], name):
				return nil, admin.BadCaptureSpec(given.field, ": column %q is given twice", name)
			case c.Skip && given.field != "except":
				return nil, admin.BadCaptureSpec(given.field, ": triggers cannot read column %q", name)
			}
		}
	}
	for _, name := range p.Key {
		p.key = append(p.key, byName[name])
	}
	for _, c := range t.Columns {
		if c.Skip || slices.Contains(spec.Except, c.Name) || len(spec.Columns) > 0 && !slices.Contains(spec.Columns, c.Name) {
			continue
		}
		p.columns = append(p.columns, c)
		p.Fields = append(p.Fields, admin.CapturedField{Name: c.Name, Type: c.Type})
	}
	if len(p.columns) == 0 {
		return nil, admin.BadCaptureSpec("except", ": no column is left to capture")
	}
	p.Spec = spec
	sum := sha256.Sum256([]byte(strings.Join(d.Install(p), "\x00")))
	p.Text = hex.EncodeToString(sum[:6])
	p.At = now.UTC().Truncate(time.Second)
	return p, nil
}

// Captures reports whether an operation is captured.
func (p *Plan) Captures(op string) bool { return slices.Contains(p.Spec.Only, op) }

// Install returns the statements that install the plan on a table without capture.
func (p *Plan) Install() []string { return p.dialect.Install(p) }

// Name is a name for something of a table's capture, the same for the same table.
func Name(schema, table, what string) string {
	sum := sha256.Sum256([]byte(schema + "\x00" + table))
	return "tidings_capture_" + hex.EncodeToString(sum[:5]) + "_" + what
}

func names(columns []Column) string {
	var all []string
	for _, c := range columns {
		all = append(all, c.Name)
	}
	return strings.Join(all, ", ")
}
