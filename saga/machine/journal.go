package machine

import "strings"

// maxNotes is how many journal entries a saga spends on inputs that change
// nothing, so that junk cannot make its journal grow for ever.
const maxNotes = 100

// maxText is how long a text in an instance or its journal is, in bytes.
const maxText = 1000

func (m *machine) emit(o Output) { m.out = append(m.out, o) }

// record writes to the journal.
func (m *machine) record(e Entry) {
	m.i.Journal++
	e.Number, e.At = m.i.Journal, m.now
	if _, ok := m.i.Steps[e.Step]; !ok && e.Step != "" && m.p.lookup(e.Step) == nil {
		// It may be anything.
		e.Step, e.Text = "", strings.TrimPrefix(e.Text+"; step "+e.Step, "; ")
	}
	e.Text, e.Message, e.Type = clean(e.Text), clean(e.Message), clean(e.Type)
	m.emit(Record{e})
}

// note writes to the journal what has changed nothing.
func (m *machine) note(e Entry) {
	if m.i.Noted >= maxNotes {
		return
	}
	m.i.Noted++
	if m.i.Noted == maxNotes {
		e.Text = strings.TrimPrefix(e.Text+"; what else changes nothing is not noted any more", "; ")
	}
	m.record(e)
}

// clean makes a text fit for every database: bounded, valid UTF-8, without NUL.
func clean(s string) string {
	if len(s) > maxText {
		s = s[:maxText-3] + "..."
		// The cut may have gone through a character.
	}
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}
