package relay

import (
	"context"
	"errors"
	"time"
)

// A leader is a relay that holds the lease: what polling and tailing share. One
// goroutine runs all of it.
type leader struct {
	cfg     *Config
	status  *status
	session Session
	lease   *lease
	backoff *backoff

	numbering *numbering
	window    *window
	holds     holds
	nextPlan  int64
	state     State
	wish      *Reading // what Config.Read still asks for

	refused  bool   // an operator's wish for the log, which the source has not
	renumber string // why the numbers of the log cannot go on; empty if they can

	// newEpoch, if not empty, says why an epoch is to be opened as soon as
	// nothing is on its way any more.
	newEpoch  string
	recovered int64 // plans up to this id are from an earlier relay
}

// A way is one of the two ways to read rows.
type way interface {
	// begin takes over what the source remembers.
	begin(active, publishing context.Context) error
	// step does what there is to do now, and waits where there is nothing.
	// Waiting ends with active, all else with publishing.
	step(active, publishing context.Context) error
	// drain records what has arrived, once nothing more will.
	drain(work context.Context) error
	// end frees what the way has opened.
	end()
}

// errSwitched means that rows are read another way from now on: the leader
// begins anew.
var errSwitched = errors.New("rows are read another way now")

func newLeader(r *Relay, session Session, l *lease, wait *backoff) *leader {
	return &leader{cfg: &r.cfg, status: &r.status, session: session, lease: l, backoff: wait, wish: &r.wish, renumber: r.renumber,
		window: newWindow(r.status.progress), holds: newHolds()}
}

// run publishes until stop is done, and then lets what is on its way arrive.
// Work is what it lives under: it ends with the lease.
func (l *leader) run(stop, work context.Context, st State) error {
	l.state = st
	if *l.wish == l.reading() {
		*l.wish = "" // it is so already; what operators ask for later counts
	}
	w, err := l.way()
	if err != nil {
		return err
	}
	defer w.end()
	// Whatever way this ends, the publisher must be done with the messages.
	publishing, cancel := context.WithCancel(work)
	defer l.settle()
	defer cancel()
	// While the broker is away, handing over blocks: after stop, not for ever.
	unhook := context.AfterFunc(stop, func() {
		sleep(publishing, l.cfg.DrainTimeout)
		cancel()
	})
	defer unhook()
	// What waits for something must end its wait with either of the two.
	active, quit := context.WithCancel(stop)
	defer quit()
	defer context.AfterFunc(work, quit)()

	if err := w.begin(active, publishing); err != nil {
		return err
	}
	for active.Err() == nil {
		if err := w.step(active, publishing); err != nil {
			return err
		}
	}
	if work.Err() != nil {
		return context.Cause(work)
	}
	l.settle()
	return w.drain(work)
}

// way returns how to read rows, going by what the source remembers.
func (l *leader) way() (way, error) {
	if l.state.Reading != FromLog {
		return newPoller(l), nil
	}
	source, err := l.logSource()
	if err != nil {
		return nil, err
	}
	return newTailer(l, source), nil
}

// takeHolds learns which keys are held, if there is news of it.
func (l *leader) takeHolds() {
	if l.holds.take(l.lease) {
		l.status.update(func(s *Stats) { s.Held = l.holds.number() })
	}
}

// leads tells people and Stats that this relay leads.
func (l *leader) leads(recovered int, more ...any) {
	l.status.leading(l.state)
	l.cfg.Logger.Info("relay leads", append([]any{"source", l.cfg.Source.Name(), "holder", l.cfg.Holder,
		"fence", l.state.Fence, "epoch", l.state.Epoch, "reading", l.reading(), "recovered_plans", recovered}, more...)...)
}

func (l *leader) reading() Reading {
	if l.state.Reading == FromLog {
		return FromLog
	}
	return FromTable
}

// limited bounds what is done after the work, so that nothing hangs there.
func (l *leader) limited() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), max(l.cfg.LeaseTTL, time.Second))
}
