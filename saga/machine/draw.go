package machine

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
)

// Text draws a plan as text, one line a step, members of groups indented.
func Text(w io.Writer, p *Plan) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "saga %s", oneLine(p.Name))
	if p.Timeout > 0 {
		fmt.Fprintf(&b, ", times out after %s", short(p.Timeout))
	}
	b.WriteByte('\n')
	width := 0
	for _, s := range p.flat() {
		width = max(width, len(s.Name))
	}
	for i := range p.Steps {
		s := &p.Steps[i]
		fmt.Fprintf(&b, "%3d. ", i+1)
		line(&b, s, width+5)
		for j := range s.Members {
			b.WriteString("       - ")
			line(&b, &s.Members[j], width+1)
		}
	}
	_, err := w.Write(b.Bytes())
	return err
}

// short writes 1h for 1h0m0s.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// oneLine replaces what would break a line.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, s)
}

func line(b *bytes.Buffer, s *Step, width int) {
	text := fmt.Sprintf("%-*s%s", width, s.Name, strings.Join(append([]string{s.does()}, s.notes()...), "; "))
	b.WriteString(oneLine(text) + "\n")
}

// does says in a few words what a step does.
func (s *Step) does() string {
	switch s.Kind {
	case Command:
		return join("command", s.Type, "to", s.Participant)
	case Notify:
		return join("notification", s.Type, "to", s.Participant)
	case Group:
		if s.Join == First {
			return "at the same time, until the first succeeds"
		}
		return "at the same time, all"
	case Saga:
		return join("saga", s.Type, "", "")
	case Event:
		return join("waits for event", s.Type, "of", s.Participant)
	case Wait:
		if s.Timeout > 0 {
			return "waits " + short(s.Timeout)
		}
		return "waits until a time in the data"
	}
	return string(s.Kind)
}

func join(kind, what, preposition, whom string) string {
	if what != "" {
		kind += " " + what
	}
	if whom != "" {
		kind += " " + preposition + " " + whom
	}
	return kind
}

// notes says what else is to be known about a step.
func (s *Step) notes() []string {
	var notes []string
	if s.Conditional {
		notes = append(notes, "if its condition holds")
	}
	if s.Timeout > 0 && s.Kind != Wait {
		notes = append(notes, "timeout "+short(s.Timeout))
	}
	if s.Retry.Attempts > 1 {
		notes = append(notes, fmt.Sprintf("%d attempts", s.Retry.Attempts))
	}
	if undo := s.undoes(); undo != "" {
		notes = append(notes, "undone by "+undo)
	}
	if s.Pivot {
		notes = append(notes, "pivot: from here on only forward")
	}
	return notes
}

// undoes says what undoes a step.
func (s *Step) undoes() string {
	switch s.Compensation {
	case "":
		return ""
	case Command:
		return join("command", s.Undoing, "", "")
	case Saga:
		return "its own compensations"
	}
	return string(s.Compensation)
}
