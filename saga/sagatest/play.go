package sagatest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"tidings.example"
	"tidings.example/command"
	"tidings.example/saga"
	"tidings.example/saga/machine"
	"tidings.example/store/memory"
)

// A run is one history, while it happens.
type run[W any] struct {
	*rig
	world world[W]
	plans map[string]*machine.Plan
	ref   saga.Ref

	others   *memory.DB
	receiver *command.Receiver[*memory.Tx]
	models   map[string]*Model[W] // by participant and type
	local    map[string]*Override[W]
	// answers are those that commands get for good, once that for the next.
	answers map[string]command.Answer
	once    *command.Answer

	lanes    []*lane
	last     int // number of the last item
	starting bool
	started  bool

	// choices are those to make, points how many things could happen at each point so far.
	choices []choice
	points  []int

	// length counts what has happened.
	length  int
	tracing bool
	lines   []string
	// violation is what must not be, broken why the exploration makes no sense.
	violation, broken error
}

// sagaID is the id of the saga that is tried.
const sagaID = "saga-1"

var (
	errCrash = errors.New("crash")
	// errUnusable ends a transaction of an exploration that makes no sense.
	errUnusable = errors.New("cannot be explored")
)

// play plays one history to its end.
func (e *Exploration[W, D]) play(choices []choice, tracing bool) (*run[W], error) {
	x := &run[W]{choices: choices, tracing: tracing, others: memory.New(), ref: saga.Ref{Type: e.Saga.Name(), ID: sagaID},
		world: world[W]{fresh: e.World, w: e.World()}, plans: map[string]*machine.Plan{}, models: map[string]*Model[W]{},
		local: map[string]*Override[W]{}, answers: map[string]command.Answer{}}
	main := saga.Intercept(saga.AnyDefinition(e.Saga), x.runLocal).(*saga.Definition[D])
	definitions := []saga.AnyDefinition{main}
	for _, child := range e.Children {
		definitions = append(definitions, saga.Intercept(child, x.runLocal))
	}
	for _, d := range definitions {
		x.plans[d.Name()] = d.Plan()
	}
	var err error
	if x.rig, err = newRig(definitions); err != nil {
		return nil, err
	}
	x.mark = x.world.mark
	if err := x.register(e.Participants, e.Local); err != nil {
		return nil, err
	}
	if err := x.expect(e.Events); err != nil {
		return nil, err
	}
	x.start(e.Data, func(ctx context.Context, tx *memory.Tx) error {
		// Steps may change what the data refers to.
		data := copyOf(&e.Data).(*D)
		_, err := saga.Start(ctx, tx, x.manager, main, sagaID, *data)
		return err
	})
	x.goOn()
	if x.broken != nil {
		return nil, x.broken
	}
	if x.started && x.violation == nil {
		x.violation = e.judge(x)
	}
	return x, nil
}

// register makes the participants.
func (x *run[W]) register(models []Model[W], overrides []Override[W]) error {
	x.receiver = command.NewReceiver("participants", x.outbox(), x.others.Commands(), command.WithClock(x.clock))
	for i := range models {
		m := &models[i]
		if m.register == nil {
			return fmt.Errorf("model %d of Participants is empty: make it with Handle", i+1)
		}
		m.register(x, x.receiver)
		x.models[m.participant.Name+" "+m.name] = m
	}
	if err := x.receiver.Err(); err != nil {
		return err
	}
	for i := range overrides {
		o := &overrides[i]
		found := false
		for _, p := range x.plans {
			found = found || p.Find(o.step) != nil
		}
		if !found {
			return fmt.Errorf("no saga has a step %q, which Local replaces", o.step)
		}
		x.local[o.step] = o
	}
	return nil
}

// choose returns which of n things happens: the first, unless this history has it otherwise.
func (x *run[W]) choose(n int) int {
	at := len(x.points)
	x.points = append(x.points, n)
	for _, c := range x.choices {
		if c.point == at && c.option < n {
			return c.option
		}
	}
	return 0
}

// start starts the saga, as its caller does.
func (x *run[W]) start(data any, begin func(ctx context.Context, tx *memory.Tx) error) {
	x.starting = true
	defer func() { x.starting = false }()
	attempt := func() error {
		x.happen(func() string { return fmt.Sprintf("%s starts with %s", x.ref.Type, show(data)) })
		return x.done(x.transact(x.db, begin))
	}
	switch x.choose(3) {
	case 1:
		x.wrong("the transaction of the caller is rolled back")
		x.end = errCrash
		_ = attempt()
		x.end = nil
	case 2:
		x.wrong("the caller starts it twice")
		_ = attempt()
	}
	if x.stopped() {
		return
	}
	if err := attempt(); err != nil {
		// The caller is told, and there is no saga.
		return
	}
	x.started = true
}

// goOn lets happen what happens, until nothing does any more.
func (x *run[W]) goOn() {
	for n := 0; !x.stopped(); n++ {
		if n == maxEvents {
			x.violation = fmt.Errorf("the saga does not come to an end: more than %d things have happened", maxEvents)
			return
		}
		for _, m := range x.collect() {
			x.send(m)
		}
		if it := x.next(); it != nil {
			x.deliver(it)
			continue
		}
		if !x.passTime() {
			return
		}
	}
}

func (x *run[W]) stopped() bool { return x.violation != nil || x.broken != nil }

// done looks at how a transaction has ended.
func (x *run[W]) done(err error) error {
	x.reacted()
	if panicked, ok := errors.AsType[*panicError](err); ok && x.violation == nil {
		x.violation = panicked
	}
	if x.trouble != nil && x.violation == nil {
		x.violation = x.trouble
	}
	return err
}

// judge says what is wrong with the end.
func (e *Exploration[W, D]) judge(x *run[W]) error {
	record, _, err := x.get(x.ref)
	if err != nil || record == nil {
		return fmt.Errorf("the saga is not there: %w", err)
	}
	end := End[D]{State: record.State, Error: record.Error, DB: x.db}
	if err := json.Unmarshal(record.Data, &end.Data); err != nil {
		return fmt.Errorf("decode the saga's data: %w", err)
	}
	x.happen(func() string { return fmt.Sprintf("end: the saga is %s, with %s", record.State, show(end.Data)) })
	switch {
	case record.State == machine.Stuck && !e.MayBeStuck:
		return fmt.Errorf("the saga is stuck: %s", record.Error)
	case !record.State.Ended() && record.State != machine.Stuck:
		return fmt.Errorf("the saga waits for ever at %s", record.Step)
	}
	var verdict error
	if err := recovered(func() error { verdict = e.Check(x.world.w, end); return nil }); err != nil {
		return fmt.Errorf("check: %w", err)
	}
	return verdict
}

// expect sends the events that come while the saga runs.
func (x *run[W]) expect(events []Event) error {
	for _, e := range events {
		m, err := e.message()
		if err != nil {
			return fmt.Errorf("event of Events: %w", err)
		}
		it := x.put("event "+m.Channel+" "+m.Key, anEvent, m)
		it.idle = true
		if x.choose(2) == 1 {
			it.idle = false
			x.wrong("%s comes early", it.name())
		}
	}
	return nil
}

// send puts what was sent by a saga or a participant on its way.
func (x *run[W]) send(m tidings.Message) {
	participant := m.Headers[command.HeaderParticipant]
	switch {
	case m.Channel == x.manager.ReplyChannel():
		x.put("reply "+participant+" "+m.Key, aReply, m)
	case m.Type == command.TypeUnlock:
		x.put(m.Channel+" "+m.Key, anUnlock, m)
	case x.models[participant+" "+m.Type] == nil:
		x.broken = fmt.Errorf("no model of participant %q handles %s: add a Handle to Participants", participant, m.Type)
	default:
		x.put(m.Channel+" "+m.Key, aCommand, m)
	}
}
