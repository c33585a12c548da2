package web

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// Object is a member that is an object with exactly these members.
func Object(name string, members ...Member) Member {
	return Member{name, func(d *json.Decoder, field string) error { return object(d, field, members) }}
}

// List is a member with 1 to limit objects. add is called for each, and returns its
// members; it may keep the values that they are read into.
func List(name string, limit int, add func() []Member) Member {
	return Member{name, func(d *json.Decoder, field string) error {
		token, err := d.Token()
		if err != nil {
			return malformed(field, err)
		}
		if token != json.Delim('[') {
			return BadField(field, "must be a list")
		}
		n := 0
		for ; d.More(); n++ {
			if n == limit {
				return BadField(field, "must have at most %d entries", limit)
			}
			if err := object(d, fmt.Sprintf("%s[%d]", field, n), add()); err != nil {
				return err
			}
		}
		if _, err := d.Token(); err != nil {
			return malformed(field, err)
		}
		if n == 0 {
			return BadField(field, "must not be empty")
		}
		return nil
	}}
}

// maxParts is how many texts there may be in one [TextOrParts].
const maxParts = 10

// TextOrParts is a member that is a text as of [Text], or an object of such texts, as
// with the parts of an address: {"street": "1 Main Street", "city": "Oakland"}. Its JSON is kept.
func TextOrParts(name string, to *json.RawMessage, limit int) Member {
	return Member{name, func(d *json.Decoder, field string) error {
		raw, err := value(d, field)
		if err != nil {
			return err
		}
		again := json.NewDecoder(bytes.NewReader(raw))
		var s string
		if !bytes.HasPrefix(raw, []byte("{")) {
			if err := Text(name, &s, limit).Read(again, field); err != nil {
				return err
			}
			*to, err = json.Marshal(s)
			return err
		}
		var given map[string]json.RawMessage
		if err := json.Unmarshal(raw, &given); err != nil {
			return malformed(field, err)
		}
		if len(given) == 0 || len(given) > maxParts {
			return BadField(field, "must have 1 to %d parts", maxParts)
		}
		parts := make(map[string]*string, len(given))
		var members []Member
		for part := range given {
			parts[part] = new(string)
			members = append(members, Text(part, parts[part], limit))
		}
		if err := object(again, field, members); err != nil {
			return err
		}
		*to, err = json.Marshal(parts)
		return err
	}}
}
