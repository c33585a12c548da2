package sagatest

import (
	"encoding/json"
	"fmt"

	"tidings.example"
	"tidings.example/command"
	"tidings.example/saga/machine"
)

// A kind says what an item is.
type kind int

const (
	aCommand kind = iota
	aReply
	anEvent
	anUnlock
)

// An item is a message on its way.
type item struct {
	kind   kind
	number int
	m      tidings.Message
	// idle items wait until there is nothing else, late ones until time has passed.
	idle, late bool
}

// A lane has messages that stay in order.
type lane struct {
	name  string
	items []*item
}

func (x *run[W]) put(name string, k kind, m tidings.Message) *item {
	x.last++
	it := &item{kind: k, number: x.last, m: m}
	for _, l := range x.lanes {
		if l.name == name {
			l.items = append(l.items, it)
			return it
		}
	}
	x.lanes = append(x.lanes, &lane{name, []*item{it}})
	return it
}

// pop takes an item, the first of its lane, off.
func (x *run[W]) pop(it *item) {
	for _, l := range x.lanes {
		if len(l.items) > 0 && l.items[0] == it {
			l.items = l.items[1:]
			return
		}
	}
}

// heads are the items that can arrive now, without those that wait until there is nothing else.
func (x *run[W]) heads(idle bool) []*item {
	var all []*item
	for _, l := range x.lanes {
		if len(l.items) > 0 && !l.items[0].late && l.items[0].idle == idle {
			all = append(all, l.items[0])
		}
	}
	return all
}

// next returns the item that arrives next, or nil.
func (x *run[W]) next() *item {
	for _, idle := range []bool{false, true} {
		var first *item
		for _, it := range x.heads(idle) {
			if first == nil || it.number < first.number {
				first = it
			}
		}
		if first != nil {
			return first
		}
	}
	return nil
}

// passTime lets the time come at which something is due, and then what is
// late; it reports false where there is nothing.
func (x *run[W]) passTime() bool {
	due, ok := x.due()
	if ok {
		wait := due.Sub(x.now)
		if wait > 0 {
			x.now = due
		}
		x.happen(func() string { return max(wait, 0).String() + passes })
		if x.choose(2) == 1 {
			x.end = errCrash
			x.wrong("the orchestrator's transaction is rolled back, and done again")
			_ = x.done(x.fire())
			x.end = nil
		}
		if err := x.done(x.fire()); err != nil && x.violation == nil {
			x.violation = err
		}
	}
	released := false
	for _, l := range x.lanes {
		for _, it := range l.items {
			released = released || it.late
			it.late = false
		}
	}
	return ok || released
}

func (it *item) participant() string { return it.m.Headers[command.HeaderParticipant] }

// name is what people call the message.
func (it *item) name() string {
	what := it.m.Type + " " + string(it.m.Payload)
	switch {
	case it.kind == aReply:
		return it.says() + " of " + it.participant()
	case it.kind == anEvent:
		return fmt.Sprintf("event %s of %q", what, it.m.Key)
	case it.kind == anUnlock:
		return "end of the locks at " + it.participant()
	}
	return "command " + what + " to " + it.participant()
}

// says is what a reply says.
func (it *item) says() string {
	switch {
	case it.m.Type == command.TypeDone:
		return "reply done"
	case it.m.Headers[command.HeaderOutcome] == command.OutcomeFailure:
		return "refusal " + it.m.Type + " " + string(it.m.Payload)
	}
	return "reply " + it.m.Type + " " + string(it.m.Payload)
}

// step returns the step that a command or a reply is about, in its plan, and
// whether it is undone by it; nil where there is none.
func (x *run[W]) step(m *tidings.Message) (p *machine.Plan, s *machine.Step, undo bool) {
	p = x.plans[m.Headers[command.HeaderSagaType]]
	token, err := machine.ParseToken(m.Headers[command.HeaderSagaStep])
	if p == nil || err != nil {
		return nil, nil, false
	}
	return p, p.Find(token.Step), token.Undo
}

// behindPivot reports whether a step comes after one that is the point of no return.
func behindPivot(p *machine.Plan, name string) bool {
	for i := range p.Steps {
		s := &p.Steps[i]
		inside := machine.Plan{Steps: s.Members}
		if s.Name == name || inside.Find(name) != nil {
			return false
		}
		if s.Pivot {
			return true
		}
		for _, m := range s.Members {
			if m.Pivot {
				return true
			}
		}
	}
	return false
}

// show encodes what is to be read, in one short line.
func show(v any) string {
	encoded, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprintf("%+v", v)
	}
	if len(encoded) > 300 {
		return string(encoded[:300]) + "..."
	}
	return string(encoded)
}
