package sagatest

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"tidings.example"
	"tidings.example/command"
	"tidings.example/event"
	"tidings.example/saga"
	"tidings.example/saga/machine"
	"tidings.example/store/memory"
)

// An Option changes how [Start] begins.
type Option func(*setup)

type setup struct {
	id       string
	tx       any
	children []saga.AnyDefinition
	before   []func(ctx context.Context, tx *memory.Tx) error
}

// ID sets the saga's id. Default "saga-1".
func ID(id string) Option { return func(s *setup) { s.id = id } }

// In lets local steps work in tx, the user's own, which stays the caller's to end. What a
// step has done that fails stays in it. By default they work in a *memory.Tx.
func In(tx any) Option { return func(s *setup) { s.tx = tx } }

// Children are definitions of sagas that the saga starts.
func Children(definitions ...saga.AnyDefinition) Option {
	return func(s *setup) { s.children = append(s.children, definitions...) }
}

// Given changes the orchestrator's database before the saga begins.
func Given(change func(ctx context.Context, tx *memory.Tx) error) Option {
	return func(s *setup) { s.before = append(s.before, change) }
}

// A Case is one saga, played by a test. It is used by one goroutine.
type Case[D any] struct {
	t   testing.TB
	rig *rig
	ref saga.Ref
	// sent are commands that were not expected yet.
	sent []tidings.Message
}

// Start starts a saga, as a caller does in a transaction that commits. At the end of
// the test all commands that were sent must have been expected.
func Start[D any](t testing.TB, d *saga.Definition[D], data D, options ...Option) *Case[D] {
	t.Helper()
	s := setup{id: sagaID}
	for _, o := range options {
		o(&s)
	}
	c := &Case[D]{t: t, ref: saga.Ref{Type: d.Name(), ID: s.id}}
	main := saga.Intercept(saga.AnyDefinition(d), c.local(s.tx)).(*saga.Definition[D])
	definitions := []saga.AnyDefinition{main}
	for _, child := range s.children {
		definitions = append(definitions, saga.Intercept(child, c.local(s.tx)))
	}
	var err error
	if c.rig, err = newRig(definitions); err != nil {
		t.Fatalf("sagatest: %v", err)
	}
	for _, change := range s.before {
		if err := c.rig.transact(c.rig.db, change); err != nil {
			t.Fatalf("sagatest: given: %v", err)
		}
	}
	err = c.rig.transact(c.rig.db, func(ctx context.Context, tx *memory.Tx) error {
		_, err := saga.Start(ctx, tx, c.rig.manager, main, s.id, data)
		return err
	})
	if err != nil {
		t.Fatalf("start saga %q: %v", d.Name(), err)
	}
	c.collect()
	t.Cleanup(func() { c.nothing("at the end of the test") })
	return c
}

// local runs a local step in tx, or in the rig's transaction.
func (c *Case[D]) local(tx any) func(context.Context, *memory.Tx, saga.LocalCall) error {
	return func(_ context.Context, own *memory.Tx, call saga.LocalCall) error {
		use := tx
		if use == nil {
			use = own
		}
		if !reflect.TypeOf(use).AssignableTo(call.Tx) {
			c.t.Fatalf("local step %q works in transactions of type %s, not %T: give one with sagatest.In", call.Step, call.Tx, use)
		}
		return call.Do(use)
	}
}

// ExpectCommand demands that the saga has sent this command, and returns it to be
// answered. Commands that were sent together may be expected in any order.
func (c *Case[D]) ExpectCommand(p command.Participant, want command.Command) *Command[D] {
	c.t.Helper()
	m, err := command.Message(p, want)
	if err != nil {
		c.t.Fatalf("sagatest: %v", err)
	}
	for i := range c.sent {
		got := &c.sent[i]
		if got.Channel == m.Channel && got.Headers[command.HeaderParticipant] == p.Name && got.Type == m.Type && string(got.Payload) == string(m.Payload) {
			found := &Command[D]{c: c, participant: p, m: *got}
			c.sent = append(c.sent[:i:i], c.sent[i+1:]...)
			return found
		}
	}
	c.t.Fatalf("the saga has sent%s\nwant:\n  %s\nits journal:\n%s", c.list(), nameOf(&m), c.Journal())
	return nil
}

// ExpectNothing demands that all commands that were sent have been expected.
func (c *Case[D]) ExpectNothing() *Case[D] {
	c.t.Helper()
	c.nothing("")
	return c
}

func (c *Case[D]) nothing(when string) {
	c.t.Helper()
	if len(c.sent) > 0 {
		c.t.Errorf("the saga has sent what was not expected %s:%s", when, c.list())
		c.sent = nil
	}
}

// TimePasses lets time pass; what is due meanwhile is done at its time.
func (c *Case[D]) TimePasses(d time.Duration) *Case[D] {
	c.t.Helper()
	end := c.rig.now.Add(d)
	for range maxEvents {
		due, ok := c.rig.due()
		if !ok || due.After(end) {
			c.rig.now = end
			return c
		}
		if due.After(c.rig.now) {
			c.rig.now = due
		}
		if err := c.rig.fire(); err != nil {
			c.t.Fatalf("time passes: %v", err)
		}
		c.collect()
	}
	c.t.Fatalf("something is due again and again; the journal:\n%s", c.Journal())
	return nil
}

// Event lets an event of an aggregate come.
func (c *Case[D]) Event(a event.Aggregate, id string, e event.Event) *Case[D] {
	c.t.Helper()
	m, err := Happens(a, id, e).message()
	if err != nil {
		c.t.Fatalf("sagatest: %v", err)
	}
	c.take(&m)
	return c
}

// ExpectEnd demands that the saga has ended, or is stuck, in this state, and that
// all commands that it has sent have been expected.
func (c *Case[D]) ExpectEnd(want machine.State) *Case[D] {
	c.t.Helper()
	c.nothing("before its end")
	if r := c.record(); r.State != want {
		c.t.Errorf("the saga is %s (step %q, error %q), want %s; its journal:\n%s", r.State, r.Step, r.Error, want, c.Journal())
	}
	return c
}

// State is the state of the saga.
func (c *Case[D]) State() machine.State { c.t.Helper(); return c.record().State }

// Data is the saga's data.
func (c *Case[D]) Data() (data D) {
	c.t.Helper()
	if err := json.Unmarshal(c.record().Data, &data); err != nil {
		c.t.Fatalf("decode the saga's data: %v", err)
	}
	return data
}

// DB is the orchestrator's database, in which local steps work unless [In] says otherwise.
func (c *Case[D]) DB() *memory.DB { return c.rig.db }

// Journal is the saga's journal, one line for each entry, for people.
func (c *Case[D]) Journal() string {
	entries, err := c.rig.db.Admin().SagaJournal(context.Background(), c.ref.Type, c.ref.ID, 0, maxEvents)
	if err != nil {
		return err.Error()
	}
	var b strings.Builder
	for _, e := range entries {
		fmt.Fprintf(&b, "  %s  %s %s %s\n", e.At.Sub(begin), e.What, e.Step, e.Text)
	}
	return b.String()
}

func (c *Case[D]) record() *saga.Record {
	c.t.Helper()
	r, err := c.rig.db.Sagas().Get(context.Background(), c.ref)
	if err != nil || r == nil {
		c.t.Fatalf("the saga is not there: %v", err)
	}
	return r
}

// take lets a message come until it is taken, as an inbox does.
func (c *Case[D]) take(m *tidings.Message) {
	c.t.Helper()
	var err error
	for range maxAttempts {
		if err = c.rig.take(m); err == nil {
			c.collect()
			return
		}
	}
	c.t.Fatalf("message %s is not taken: %v", m.Type, err)
}

func (c *Case[D]) collect() {
	c.t.Helper()
	for _, m := range c.rig.collect() {
		if m.Type != command.TypeUnlock {
			c.sent = append(c.sent, m)
		}
	}
	if c.rig.trouble != nil {
		c.t.Fatalf("%v; the journal:\n%s", c.rig.trouble, c.Journal())
	}
}

func (c *Case[D]) list() string {
	if len(c.sent) == 0 {
		return " nothing"
	}
	var b strings.Builder
	for i := range c.sent {
		b.WriteString("\n  " + nameOf(&c.sent[i]))
	}
	return b.String()
}

func nameOf(m *tidings.Message) string { return (&item{m: *m}).name() }
