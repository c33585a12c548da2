package web

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A Member is a named value of a JSON object, all of which are required. Read
// takes the value from the decoder; field is its path, for errors.
//
// encoding/json is not used for whole objects, because it ignores the case of
// names and takes a name twice, and because its errors do not name the field.
type Member struct {
	Name string
	Read func(d *json.Decoder, field string) error
}

// Text is a member with 1 to limit characters, none of them a control
// character. Spaces around it are removed.
func Text(name string, to *string, limit int) Member {
	return text(name, func(s string) string {
		s = strings.TrimSpace(s)
		switch n := utf8.RuneCountInString(s); {
		case n == 0:
			return "must not be empty"
		case n > limit:
			return "is too long"
		case strings.ContainsFunc(s, unicode.IsControl):
			return "must not contain control characters"
		}
		*to = s
		return ""
	})
}

// ID is a member that identifies something.
func ID(name string, to *string) Member {
	return text(name, func(s string) string {
		if !ValidID(s) {
			return "must have 1 to 64 letters, digits, '.', '_' or '-'"
		}
		*to = s
		return ""
	})
}

// ValidID reports whether s may be an id. Nothing has another one.
func ValidID(s string) bool {
	return s != "" && len(s) <= 64 && !strings.ContainsFunc(s, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("._-", r))
	})
}

// text makes a member of a string that set takes, or says what is wrong with.
func text(name string, set func(s string) (wrong string)) Member {
	return Member{name, func(d *json.Decoder, field string) error {
		raw, err := value(d, field)
		if err != nil {
			return err
		}
		var s *string
		if err := json.Unmarshal(raw, &s); err != nil || s == nil {
			return BadField(field, "must be a string")
		}
		if wrong := set(*s); wrong != "" {
			return BadField(field, "%s", wrong)
		}
		return nil
	}}
}

// object reads an object with exactly these members, in any order. path is
// empty for the body itself.
func object(d *json.Decoder, path string, members []Member) error {
	if token, err := d.Token(); err != nil {
		return malformed(path, err)
	} else if token != json.Delim('{') {
		if path == "" {
			return NewProblem(http.StatusBadRequest, "the body must be a JSON object")
		}
		return BadField(path, "must be an object")
	}
	seen := map[string]bool{}
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return malformed(path, err)
		}
		name, _ := token.(string)
		field := join(path, name)
		if seen[name] {
			return BadField(field, "is there twice")
		}
		seen[name] = true
		if err := read(d, field, name, members); err != nil {
			return err
		}
	}
	if _, err := d.Token(); err != nil {
		return malformed(path, err)
	}
	for _, m := range members {
		if !seen[m.Name] {
			return BadField(join(path, m.Name), "is missing")
		}
	}
	return nil
}

func read(d *json.Decoder, field, name string, members []Member) error {
	for _, m := range members {
		if m.Name == name {
			return m.Read(d, field)
		}
	}
	if len(field) > 100 {
		field = strings.ToValidUTF8(field[:100], "") + "..."
	}
	return BadField(field, "is unknown")
}

// value reads one value as its text.
func value(d *json.Decoder, field string) (json.RawMessage, error) {
	var raw json.RawMessage
	if err := d.Decode(&raw); err != nil {
		return nil, malformed(field, err)
	}
	return raw, nil
}

func malformed(field string, err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return NewProblem(http.StatusBadRequest, "the body ends inside a JSON value")
	}
	if field == "" {
		return NewProblem(http.StatusBadRequest, "the body is not valid JSON: %v", err)
	}
	return BadField(field, "is not valid JSON: %v", err)
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
