package sagatest

import (
	"context"
	"errors"
	"fmt"

	"tidings.example"
	"tidings.example/command"
	"tidings.example/saga/machine"
	"tidings.example/store/memory"
)

// A way is one of the things that can become of a message.
type way struct {
	what   outcome
	answer command.Answer
	name   string
}

type outcome int

const (
	arrives outcome = iota
	isRefused
	failsOnce
	isLate
	isOvertaken
	isLost
	isRepeated
	crashes
)

// deliver lets a message arrive, in one of the ways in which it can.
func (x *run[W]) deliver(it *item) {
	ways := x.ways(it)
	way := ways[x.choose(len(ways))]
	if way.what != arrives {
		x.wrong("%s %s", it.name(), way.name)
	}
	switch way.what {
	case isLate:
		it.late = true
		return
	case isOvertaken:
		x.last++
		it.number = x.last
		return
	case isLost:
		// A history in which it is only late says more.
		x.length += 2
		x.pop(it)
		return
	case crashes:
		x.end = errCrash
		_ = x.arrive(it)
		x.end = nil
		return
	case isRefused:
		x.answers[asked(&it.m)] = way.answer
	case failsOnce:
		x.once = &way.answer
	}
	x.pop(it)
	x.insist(it)
	if way.what == isRepeated && !x.stopped() {
		x.insist(it)
	}
}

// ways are the things that can become of a message, the ordinary one first.
func (x *run[W]) ways(it *item) []way {
	ways := []way{{what: arrives}}
	add := func(what outcome, format string, args ...any) {
		ways = append(ways, way{what: what, name: fmt.Sprintf(format, args...)})
	}
	if it.kind == anUnlock {
		return ways
	}
	plan, step, undo := x.step(&it.m)
	if it.kind == aCommand {
		ways = append(ways, x.refusals(it, plan, step, undo)...)
	}
	_, timed := x.due()
	if timed {
		add(isLate, "is late")
	}
	if len(x.heads(it.idle)) > 1 {
		add(isOvertaken, "is overtaken by what else is on its way")
	}
	if it.kind == aReply && step != nil && step.Timeout > 0 {
		add(isLost, "is lost")
	}
	if it.kind == anEvent && x.canDoWithout(it.m.Type) {
		add(isLost, "never comes")
	}
	if it.kind != aCommand || it.m.Headers[command.HeaderRepeatable] == "true" {
		add(isRepeated, "comes twice")
	}
	who := service
	if it.kind == aCommand {
		who = it.participant()
	}
	add(crashes, "arrives, but the transaction of %s is rolled back", who)
	return ways
}

// canDoWithout reports whether a timeout ends the wait for events of a type.
func (x *run[W]) canDoWithout(eventType string) bool {
	for _, p := range x.plans {
		for _, s := range flat(p.Steps) {
			if s.Kind == machine.Event && s.Type == eventType && s.Timeout > 0 {
				return true
			}
		}
	}
	return false
}

// flat are steps with those inside them.
func flat(steps []machine.Step) (all []machine.Step) {
	for _, s := range steps {
		all = append(append(all, s), flat(s.Members)...)
	}
	return all
}

// refusals are the ways in which a participant can fail, without an effect.
func (x *run[W]) refusals(it *item, p *machine.Plan, s *machine.Step, undo bool) []way {
	if s == nil || s.Kind == machine.Notify && !undo {
		return nil
	}
	var ways []way
	if !undo {
		for _, r := range x.models[it.participant()+" "+it.m.Type].refusals {
			ways = append(ways, way{what: isRefused, answer: command.Fail(r), name: "is refused for good, with " + r.ReplyType() + " " + show(r)})
		}
		if len(ways) == 0 && !behindPivot(p, s.Name) {
			ways = append(ways, way{what: isRefused, answer: command.Refuse("sagatest"), name: "is refused for good"})
		}
	}
	if it.m.Headers[command.HeaderRepeatable] == "true" {
		ways = append(ways, way{what: failsOnce, name: "fails this time",
			answer: command.FailRetryable(command.Problem{Failure: command.FailureRejected, Detail: "sagatest"})})
	}
	return ways
}

// prescribed returns the answer that a command gets in this history whatever the model says.
func (x *run[W]) prescribed(m *tidings.Message) (command.Answer, bool) {
	if x.once != nil {
		answer := *x.once
		x.once = nil
		return answer, true
	}
	answer, ok := x.answers[asked(m)]
	return answer, ok
}

// asked names what a command asks for. What is refused for good is refused also
// when the saga asks anew, by another command.
func asked(m *tidings.Message) string {
	h := m.Headers
	// The error is for what no saga has sent.
	token, _ := machine.ParseToken(h[command.HeaderSagaStep])
	token.Attempt = 0
	return h[command.HeaderSagaType] + "/" + h[command.HeaderSagaID] + "/" + token.String()
}

// insist lets a message arrive until it is taken, as an inbox does.
func (x *run[W]) insist(it *item) {
	for range maxAttempts {
		err := x.arrive(it)
		if err == nil || x.stopped() {
			return
		}
		if it.kind == aCommand {
			x.violation = fmt.Errorf("%s is not handled: %w", it.name(), err)
			return
		}
	}
	x.violation = fmt.Errorf("%s is not taken after %d attempts", it.name(), maxAttempts)
}

const maxAttempts = 10

// arrive gives a message to those whom it is for, once.
func (x *run[W]) arrive(it *item) error {
	x.happen(func() string { return it.name() + " arrives" })
	if it.kind == aReply || it.kind == anEvent {
		return x.done(x.take(&it.m))
	}
	m := &it.m
	before := len(x.sent)
	err := x.done(x.transact(x.others, func(ctx context.Context, tx *memory.Tx) error {
		return x.receiver.Handle(tidings.WithCause(ctx, m), tx, m)
	}))
	x.once = nil
	if panicked, ok := errors.AsType[*panicError](err); ok {
		x.violation = fmt.Errorf("model of %s: %w", it.name(), panicked)
	}
	if err == nil {
		for i := range x.sent[before:] {
			answer := item{kind: aReply, m: x.sent[before+i]}
			x.follows(answer.says())
		}
	}
	return err
}
