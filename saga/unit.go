package saga

import (
	"context"
	"fmt"
	"time"

	"tidings.example"
	"tidings.example/saga/machine"
)

// A unit is what one transaction does to sagas: the one that something happens
// to, its parent, its children.
type unit[Tx any] struct {
	m  *Manager[Tx]
	tx Tx
	at time.Time
	// starting is set in the caller's transaction, where failures are the caller's.
	starting bool

	open     map[Ref]*open
	order    []*open
	todo     []happening
	messages []tidings.Message
	// ended are the sagas that have ended here.
	ended []Ref
	// recorded are failures of earlier tries that this one records.
	recorded []localKey
}

// open is a saga while a unit works on it.
type open struct {
	*Record
	def  AnyDefinition
	plan *machine.Plan
	// state is Record.Instance, decoded; data is a *D, nil where it cannot be decoded.
	state   stored
	data    any
	broken  error
	journal []machine.Entry
	created bool
	changed bool
}

// happening is what happens to one saga of a unit.
type happening struct {
	to   *open
	what machine.Happening
}

func (m *Manager[Tx]) unit(tx Tx) *unit[Tx] {
	return &unit[Tx]{m: m, tx: tx, at: m.now(), open: map[Ref]*open{}}
}

// load returns a saga, or nil where there is none.
func (u *unit[Tx]) load(ctx context.Context, ref Ref) (*open, error) {
	if o := u.open[ref]; o != nil {
		return o, nil
	}
	r, err := u.m.cfg.Store.Load(ctx, u.tx, ref)
	if err != nil {
		return nil, fmt.Errorf("load saga %s %q: %w", ref.Type, ref.ID, err)
	}
	if r == nil {
		return nil, nil
	}
	return u.take(r)
}

// take makes a loaded record part of the unit.
func (u *unit[Tx]) take(r *Record) (*open, error) {
	def := u.m.definitions[r.Type]
	if def == nil {
		return nil, &undefinedError{r.Type}
	}
	o := &open{Record: r, def: def, plan: def.Plan()}
	var err error
	if o.state, err = decodeStored(r); err != nil {
		return nil, err
	}
	if r.Fingerprint != u.m.prints[r.Type] {
		// A process with another definition has worked on it since this one began.
		if err := machine.Continues(o.plan, &o.state.Instance); err != nil {
			return nil, &undefinedError{r.Type}
		}
	}
	o.data, o.broken = def.decode(r.Data)
	u.keep(o)
	return o, nil
}

func (u *unit[Tx]) create(ref Ref, def AnyDefinition, data any) *open {
	r := &Record{Ref: ref, Started: u.at, Fingerprint: u.m.prints[ref.Type]}
	o := &open{Record: r, def: def, plan: def.Plan(), data: data, created: true}
	u.keep(o)
	return o
}

func (u *unit[Tx]) keep(o *open) {
	u.open[o.Ref] = o
	u.order = append(u.order, o)
}

// happen lets something happen to a saga, and all that follows from it at once.
func (u *unit[Tx]) happen(ctx context.Context, o *open, what machine.Happening) error {
	u.todo = append(u.todo, happening{o, what})
	for len(u.todo) > 0 {
		next := u.todo[0]
		u.todo = u.todo[1:]
		if err := u.step(ctx, next.to, next.what); err != nil {
			return err
		}
	}
	return nil
}

func (u *unit[Tx]) later(o *open, what machine.Happening) {
	u.todo = append(u.todo, happening{o, what})
}

func (u *unit[Tx]) step(ctx context.Context, o *open, what machine.Happening) error {
	if o.broken != nil && !endsByHand(what) {
		what = undecodable(what, o.broken)
	}
	var outputs []machine.Output
	o.state.Instance, outputs = machine.Advance(o.plan, o.state.Instance, machine.Input{At: u.at, Jitter: u.m.cfg.Jitter(), What: what})
	o.changed = true
	for _, output := range outputs {
		if err := u.carry(ctx, o, output); err != nil {
			return err
		}
	}
	return nil
}

// undecodable is what happens to a saga whose data cannot be decoded, in place of what. The
// journal says what an operator has asked for in vain.
func undecodable(what machine.Happening, why error) machine.Happening {
	if r, ok := what.(machine.Requested); ok && !r.Parent {
		return machine.Undecodable{Error: why.Error(), Asked: fmt.Sprintf("%s by %s: %s", r.Op, r.Actor, r.Reason)}
	}
	return machine.Undecodable{Error: why.Error()}
}

// endsByHand reports whether an operator ends the saga, which needs no data.
func endsByHand(what machine.Happening) bool {
	r, ok := what.(machine.Requested)
	return ok && r.Op == machine.Fail
}

// save stores what the unit has changed, and appends what it sends.
func (u *unit[Tx]) save(ctx context.Context) error {
	for _, o := range u.order {
		if !o.changed {
			continue
		}
		if err := u.saveOne(ctx, o); err != nil {
			return u.of(o, err)
		}
	}
	if err := u.m.cfg.Outbox.Append(ctx, u.tx, u.messages...); err != nil {
		return fmt.Errorf("send for sagas: %w", err)
	}
	u.m.forget(u.recorded)
	return nil
}

// of says which saga an error is of, unless it may pass for all.
func (u *unit[Tx]) of(o *open, err error) error {
	if u.m.cfg.Store.Transient(err) {
		return err
	}
	return &sagaError{o.Ref, err}
}

func (u *unit[Tx]) saveOne(ctx context.Context, o *open) error {
	if err := o.encode(); err != nil {
		return err
	}
	if o.state.State.Ended() {
		o.Request = nil
	}
	o.Changed, o.Wake = u.at, u.wake(o)
	o.describe(o.plan, &o.state.Instance)
	u.m.wakeSoon(u.at, o.Wake)
	if !o.created {
		o.Fingerprint = u.m.prints[o.Type]
		if err := u.m.cfg.Store.Save(ctx, u.tx, o.Record, o.journal); err != nil {
			return fmt.Errorf("save saga %s %q: %w", o.Type, o.ID, err)
		}
		return nil
	}
	inserted, err := u.m.cfg.Store.Insert(ctx, u.tx, o.Record, o.journal)
	if err != nil {
		return fmt.Errorf("start saga %s %q: %w", o.Type, o.ID, err)
	}
	if !inserted {
		return fmt.Errorf("start saga %s %q: %w", o.Type, o.ID, errStarted)
	}
	return nil
}

// wake is when something is to be done with a saga, if nothing comes before.
func (u *unit[Tx]) wake(o *open) time.Time {
	switch kept := u.m.cfg.Retention; {
	case o.Request != nil:
		// It came while something else happened, and has not been carried out.
		return u.at
	case o.state.State.Ended() && kept > 0:
		return o.Ended.Add(kept)
	}
	return machine.Next(o.plan, &o.state.Instance)
}

func (o *open) encode() error {
	if o.broken == nil {
		data, err := o.def.encode(o.data)
		if err != nil {
			return err
		}
		o.Data = data
	}
	state, err := encodeStored(&o.state)
	if err != nil {
		return fmt.Errorf("encode the state of saga %s %q: %w", o.Type, o.ID, err)
	}
	o.Instance = state
	return nil
}
