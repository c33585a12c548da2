package command

import (
	"fmt"

	"tidings.example"
)

// Message returns the answer as the reply of a participant to its command m, to be
// appended to an outbox. [Receiver] does it by itself; this is for those who answer without one, such as test kits.
func (x Answer) Message(p Participant, m *tidings.Message) (tidings.Message, error) {
	a := askOf(m)
	if !a.wanted() {
		return tidings.Message{}, fmt.Errorf("command: %s %q has no header %q: nobody wants a reply", m.Type, a.CommandID, HeaderReplyChannel)
	}
	if a.Participant == "" {
		a.Participant = p.Name
	}
	reply, err := x.message(&a, p.codecOrJSON())
	if err != nil {
		return tidings.Message{}, fmt.Errorf("command: answer %s: %w", a.CommandID, err)
	}
	return reply, nil
}
