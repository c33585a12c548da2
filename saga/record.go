package saga

import (
	"encoding/json"
	"fmt"
	"strings"

	"tidings.example"
	"tidings.example/saga/machine"
)

// stored is what Record.Instance holds: where the saga stands, and what the
// runtime needs besides.
type stored struct {
	machine.Instance
	// Parent is the saga that waits for this one.
	Parent *parent `json:"parent,omitempty"`
	// Headers are carried on to everything that the saga sends: the correlation
	// id, and the trace of the request that started it.
	Headers tidings.Headers `json:"headers,omitempty"`
	// Locking are the participants that have locked something for the saga.
	Locking []locking `json:"locking,omitempty"`
	// Held are messages that came while the data could not be decoded.
	Held []tidings.Message `json:"held,omitempty"`
}

// locking is a participant, without its codec.
type locking struct {
	Name    string `json:"name"`
	Channel string `json:"channel"`
}

// parent is the step of a saga that has started another one.
type parent struct {
	Type string `json:"type"`
	ID   string `json:"id"`
	Step string `json:"step"`
	// Attempt is that of the step which has started this saga.
	Attempt int `json:"attempt"`
}

func decodeStored(r *Record) (stored, error) {
	var s stored
	if err := json.Unmarshal(r.Instance, &s); err != nil {
		return s, &undecodableError{fmt.Errorf("decode the state of saga %s %q: %w", r.Type, r.ID, err)}
	}
	return s, nil
}

const (
	maxStep  = 200
	maxError = 1000
)

// describe fills in what people see of a record.
func (r *Record) describe(p *machine.Plan, i *machine.Instance) {
	r.State = i.State
	r.Step = cut(strings.Join(machine.At(p, i), ", "), maxStep)
	r.Error = cut(i.Error, maxError)
}

// cut shortens a text to at most limit bytes, between two characters.
func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	const dots = "..."
	end := 0
	for i := range s {
		if i > limit-len(dots) {
			break
		}
		end = i
	}
	return s[:end] + dots
}

func encodeStored(s *stored) ([]byte, error) { return json.Marshal(s) }
