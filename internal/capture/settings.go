package capture

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"tidings.example/admin"
)

// Settings are what an installed capture remembers about itself.
type Settings struct {
	Spec admin.CaptureSpec `json:"spec"`
	// Key are the columns of the key, and KeyGiven is set if they were asked
	// for, rather than being the primary key.
	Key      []string `json:"key"`
	KeyGiven bool     `json:"keyGiven,omitempty"`
	// All are all columns that the table had, captured or not.
	All []admin.CapturedField `json:"all"`
	// Fields are those that are captured.
	Fields []admin.CapturedField `json:"fields"`
	// Text tells the triggers of this program from those of another version.
	Text string    `json:"text"`
	At   time.Time `json:"at"`
}

// Version names the columns and types that messages carry.
func (s *Settings) Version() string {
	h := sha256.New()
	for _, f := range s.Fields {
		fmt.Fprintf(h, "%d:%s%d:%s", len(f.Name), f.Name, len(f.Type), f.Type)
	}
	return hex.EncodeToString(h.Sum(nil))[:12]
}

// Same reports whether two captures do the same.
func (s *Settings) Same(other *Settings) bool {
	a, b := *s, *other
	a.At, b.At = time.Time{}, time.Time{}
	return a.encode() == b.encode()
}

// Captured is what an operator sees.
func (s *Settings) Captured() admin.Captured {
	spec := s.Spec
	spec.Key = s.Key
	return admin.Captured{CaptureSpec: spec, Version: s.Version(), Fields: s.Fields, Since: s.At}
}

// Drift says in a line each how a table has changed since the triggers were made.
func (s *Settings) Drift(t *Table) []string {
	var found []string
	now := map[string]string{}
	for _, c := range t.Columns {
		now[c.Name] = c.Type
	}
	was := map[string]bool{}
	for _, f := range s.All {
		was[f.Name] = true
		switch current, ok := now[f.Name]; {
		case !ok:
			found = append(found, fmt.Sprintf("column %q is gone (dropped or renamed)", f.Name))
		case current != f.Type:
			found = append(found, fmt.Sprintf("column %q was %s and is %s", f.Name, f.Type, current))
		}
	}
	for _, c := range t.Columns {
		if !was[c.Name] {
			found = append(found, fmt.Sprintf("column %q is new", c.Name))
		}
	}
	if !s.KeyGiven && !slices.Equal(s.Key, t.PrimaryKey) {
		found = append(found, fmt.Sprintf("the primary key was (%s) and is (%s)", strings.Join(s.Key, ", "), strings.Join(t.PrimaryKey, ", ")))
	}
	if t.Name != s.Spec.Table || t.Schema != s.Spec.Schema {
		found = append(found, fmt.Sprintf("the table was %s.%s and is %s.%s", s.Spec.Schema, s.Spec.Table, t.Schema, t.Name))
	}
	return found
}

func (s *Settings) encode() string {
	text, err := json.Marshal(s)
	if err != nil {
		panic(err) // strings and a time
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

// Mark is how the settings stand in a trigger. It needs no quoting in any
// literal or comment.
func (s *Settings) Mark() string { return "tidings capture v1 " + s.encode() }

var mark = regexp.MustCompile(`tidings capture v1 ([A-Za-z0-9_-]+)`)

// Parse finds the settings in the text of a trigger or function. ok is false
// if there are none that this program understands.
func Parse(text string) (s Settings, ok bool) {
	found := mark.FindStringSubmatch(text)
	if found == nil {
		return s, false
	}
	decoded, err := base64.RawURLEncoding.DecodeString(found[1])
	if err != nil || json.Unmarshal(decoded, &s) != nil || s.Spec.Table == "" {
		return Settings{}, false
	}
	return s, true
}
