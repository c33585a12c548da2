package relay

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tidings.example"
)

// removeDelay is how long the removal of published rows may wait for a plan to
// be committed with: one transaction then does both.
const removeDelay = 20 * time.Millisecond

// A leader is a relay that holds the lease. One goroutine runs all of it.
type leader struct {
	cfg     *Config
	status  *status
	session Session
	lease   *lease
	backoff *backoff

	positions *positions
	numbering *numbering
	window    *window
	holds     map[HeldKey]bool
	retries   []HeldKey // held keys that an operator wants tried again
	// holdsChanged is when this relay last held or released a key.
	holdsChanged time.Time
	nextPlan     int64

	done      finished
	recovered int64 // plans up to this id are from an earlier relay
	more      bool  // the last read was full: there is more to read now
}

// finished is what was published and waits to be removed from the source.
type finished struct {
	positions []int64
	plans     []int64
	touched   map[string]bool
	batches   []Batch
	since     time.Time
}

func newLeader(r *Relay, session Session, l *lease, wait *backoff) *leader {
	return &leader{cfg: &r.cfg, status: &r.status, session: session, lease: l, backoff: wait,
		positions: newPositions(time.Now), window: newWindow(), holds: map[HeldKey]bool{}}
}

// run publishes until stop is done, and then lets what is on its way arrive.
// Work is what the publishing itself lives under.
func (l *leader) run(stop, work context.Context, st State) error {
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
	if err := l.recover(publishing, st); err != nil {
		return err
	}
	for stop.Err() == nil {
		if err := work.Err(); err != nil {
			return context.Cause(work)
		}
		if err := l.step(stop, publishing); err != nil {
			return err
		}
	}
	return l.drain(publishing)
}

// recover takes over what the source remembers: it opens a new epoch where
// numbers cannot go on, else it publishes the plans of the relay before this
// one again, with the numbers that they had.
func (l *leader) recover(ctx context.Context, st State) error {
	reason := newEpochReason(st, l.cfg.Lanes)
	var plans []*inflight
	if reason == "" {
		numbering, err := newNumbering(l.cfg.Source.Name(), st)
		if err != nil {
			return err
		}
		l.numbering = numbering
		if plans, reason, err = l.reread(ctx, st.Plans); err != nil {
			return err
		}
	}
	if reason != "" {
		plans = nil
		if err := l.openEpoch(ctx, &st, reason); err != nil {
			return err
		}
	}
	l.status.leading(st)
	l.cfg.Logger.Info("relay leads", "source", l.cfg.Source.Name(), "holder", l.cfg.Holder,
		"fence", st.Fence, "epoch", st.Epoch, "recovered_plans", len(plans))
	for _, p := range plans {
		l.recovered = p.id
		l.window.add(p)
		l.publish(ctx, p)
	}
	return nil
}

func (l *leader) openEpoch(ctx context.Context, st *State, reason string) error {
	epoch := &Epoch{Name: newEpochName(time.Now()), Lanes: l.cfg.Lanes, Identity: st.Now, Reason: reason}
	if err := l.session.Commit(ctx, Change{Epoch: epoch}); err != nil {
		return fmt.Errorf("open epoch: %w", err)
	}
	if st.Epoch != "" {
		l.cfg.Logger.Warn("relay opens a new epoch; messages on their way may arrive twice",
			"source", l.cfg.Source.Name(), "epoch", epoch.Name, "before", st.Epoch, "reason", reason, "plans_dropped", len(st.Plans))
	}
	st.Epoch, st.Lanes, st.Identity, st.Counters, st.Plans = epoch.Name, epoch.Lanes, epoch.Identity, nil, nil
	numbering, err := newNumbering(l.cfg.Source.Name(), *st)
	l.numbering = numbering
	l.positions = newPositions(time.Now)
	l.status.update(func(s *Stats) { s.Epochs++ })
	return err
}

// reread reads the rows of plans and numbers them again. A reason is returned
// where that is impossible, since somebody has changed the rows.
func (l *leader) reread(ctx context.Context, plans []Plan) (all []*inflight, reason string, err error) {
	for _, plan := range plans {
		l.nextPlan = max(l.nextPlan, plan.ID)
		positions, err := DecodePositions(plan.Positions)
		if err != nil {
			return nil, "", fmt.Errorf("plan %d: %w", plan.ID, err)
		}
		rows, err := l.session.Read(ctx, Query{Ranges: ranges(positions)})
		if err != nil {
			return nil, "", fmt.Errorf("read the rows of plan %d: %w", plan.ID, err)
		}
		p := &inflight{id: plan.ID, positions: positions}
		byPosition := make(map[int64]*Row, len(rows))
		for i := range rows {
			byPosition[rows[i].Position] = &rows[i]
		}
		for _, position := range positions {
			row := byPosition[position]
			if row == nil || row.Err != nil {
				return nil, fmt.Sprintf("row %d of plan %d was changed or removed by somebody else", position, plan.ID), nil
			}
			l.numbering.stamp(&row.Message)
			p.messages = append(p.messages, &row.Message)
			p.bytes += len(row.Message.Payload)
		}
		l.positions.take(positions)
		all = append(all, p)
	}
	return all, "", nil
}

// step does what there is to do now, and waits where there is nothing.
func (l *leader) step(stop, work context.Context) error {
	if err := l.lease.check(); err != nil {
		return err
	}
	if err, settled := l.window.failed(); err != nil {
		return l.overcome(stop, work, err, settled)
	}
	l.collect()
	l.takeHolds()
	var c Change
	var plan *inflight
	if l.hasRoom() {
		rows, err := l.read(work)
		if err != nil {
			return err
		}
		plan = l.sort(work, rows, &c)
	}
	if plan != nil || len(c.SetAside) > 0 || l.removalDue() {
		if err := l.commit(work, c, plan); err != nil {
			return err
		}
		if plan != nil {
			l.publish(work, plan)
		}
		return nil
	}
	if l.more && l.hasRoom() {
		return nil
	}
	return l.wait(stop)
}

func (l *leader) hasRoom() bool {
	return len(l.window.plans) < l.cfg.Window
}

func (l *leader) read(ctx context.Context) ([]Row, error) {
	q := l.positions.next(l.cfg.BatchRows, l.cfg.BatchBytes)
	rows, err := l.session.Read(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("read outbox: %w", err)
	}
	fresh := l.positions.seen(q, rows)
	// An empty answer says that there is nothing more, unless it was a sweep's.
	l.more = q.Limit == 0 || len(fresh) > 0
	return fresh, nil
}

// sort makes a plan of the rows that can be published; the others are set
// aside, and so is what comes behind them under the same key.
func (l *leader) sort(ctx context.Context, rows []Row, c *Change) *inflight {
	if len(rows) == 0 {
		return nil
	}
	plan := &inflight{positions: make([]int64, 0, len(rows)), messages: make([]*tidings.Message, 0, len(rows))}
	for i := range rows {
		row := &rows[i]
		m := &row.Message
		key := HeldKey{Channel: m.Channel, Key: m.Key}
		if reason := l.refuse(ctx, row, key); reason != "" {
			c.SetAside = append(c.SetAside, SetAside{Position: row.Position, Key: key, Reason: reason})
			if m.Key != "" {
				l.holds[key] = true
			}
			continue
		}
		plan.positions = append(plan.positions, row.Position)
		plan.messages = append(plan.messages, m)
		plan.bytes += len(m.Payload)
	}
	if len(plan.messages) == 0 {
		return nil
	}
	l.nextPlan++
	plan.id = l.nextPlan
	c.Plan = &Plan{ID: plan.id, Positions: EncodePositions(plan.positions)}
	return plan
}

// refuse numbers the row's message, or says why it cannot be published.
func (l *leader) refuse(ctx context.Context, row *Row, key HeldKey) string {
	if row.Err != nil {
		return row.Err.Error()
	}
	if err := row.Message.Validate(); err != nil {
		return err.Error()
	}
	if l.holds[key] {
		return "waits behind an earlier row of its key"
	}
	l.numbering.stamp(&row.Message)
	if err := l.cfg.Broker.Check(ctx, &row.Message); err != nil {
		l.numbering.unstamp(&row.Message)
		return err.Error()
	}
	return ""
}

func (l *leader) removalDue() bool {
	if len(l.retries) > 0 {
		return true
	}
	return len(l.done.plans) > 0 && time.Since(l.done.since) >= removeDelay
}

// commit removes what is done and fixes the plan's numbers, in one transaction.
func (l *leader) commit(ctx context.Context, c Change, plan *inflight) error {
	c.Done, c.DonePlans, c.Return = l.done.positions, l.done.plans, l.retries
	c.Counters = l.numbering.encode(l.done.touched)
	if err := l.session.Commit(ctx, c); err != nil {
		return fmt.Errorf("commit plan: %w", err)
	}
	l.positions.remove(c.Done)
	for _, b := range l.done.batches {
		l.cfg.Observer.Batch(b)
	}
	l.done = finished{}
	for _, s := range c.SetAside {
		l.positions.remove([]int64{s.Position})
		l.cfg.Logger.Error("outbox row set aside", "source", l.cfg.Source.Name(), "position", s.Position,
			"channel", s.Key.Channel, "key", s.Key.Key, "reason", s.Reason)
		l.cfg.Observer.SetAside(s)
	}
	if len(c.SetAside)+len(c.Return) > 0 {
		l.holdsChanged = time.Now()
	}
	if len(c.Return) > 0 {
		for _, key := range c.Return {
			delete(l.holds, HeldKey{Channel: key.Channel, Key: key.Key})
		}
		l.retries = nil
		l.positions.sweep()
	}
	if plan != nil {
		l.window.add(plan)
	}
	l.status.update(func(s *Stats) {
		s.SetAside += uint64(len(c.SetAside))
		s.Held = len(l.holds)
		s.InFlight = l.window.rows
	})
	return nil
}

// publish hands the messages of a plan over that are not acknowledged yet.
// After a failure nothing is handed over until everything before has been
// published again: the plan waits in the window for that.
func (l *leader) publish(ctx context.Context, p *inflight) {
	if err, _ := l.window.failed(); err != nil {
		return
	}
	ms, done := l.window.unsent(p)
	l.status.sent()
	l.cfg.Broker.Publish(ctx, ms, done)
}

// collect takes up the plans that the broker holds.
func (l *leader) collect() {
	completed := l.window.completed()
	if len(completed) == 0 {
		return
	}
	l.backoff.reset()
	l.status.trouble(nil)
	if l.done.touched == nil {
		l.done.touched, l.done.since = map[string]bool{}, time.Now()
	}
	for _, p := range completed {
		l.numbering.complete(p.messages, l.done.touched)
		l.done.positions = append(l.done.positions, p.positions...)
		l.done.plans = append(l.done.plans, p.id)
		l.done.batches = append(l.done.batches, l.batchOf(p))
	}
	l.status.acknowledged(len(l.window.plans) > 0)
	l.status.update(func(s *Stats) {
		for _, b := range l.done.batches[len(l.done.batches)-len(completed):] {
			s.Published += uint64(b.Rows)
			if b.Repeated {
				s.Repeated += uint64(b.Rows)
			}
		}
		s.InFlight = l.window.rows
	})
}

func (l *leader) batchOf(p *inflight) Batch {
	b := Batch{Source: l.cfg.Source.Name(), Rows: len(p.messages), Bytes: p.bytes,
		Repeated: p.id <= l.recovered, Oldest: p.messages[0].Time}
	for _, m := range p.messages {
		if m.Time.Before(b.Oldest) {
			b.Oldest = m.Time
		}
	}
	return b
}

// takeHolds learns which keys are held and which of them to try again. An
// answer that was asked for before this relay's last change of holds is too old
// to be believed; the next renewal brings another.
func (l *leader) takeHolds() {
	held, asked, news := l.lease.holds()
	if !news || !asked.After(l.holdsChanged) {
		return
	}
	clear(l.holds)
	l.retries = nil
	for _, key := range held {
		if key.Key != "" {
			l.holds[HeldKey{Channel: key.Channel, Key: key.Key}] = true
		}
		if key.Retry {
			l.retries = append(l.retries, HeldKey{Channel: key.Channel, Key: key.Key})
		}
	}
}

// overcome waits until nothing is outstanding after a failure of the broker,
// and then publishes again what it has not acknowledged, in order.
func (l *leader) overcome(stop, work context.Context, failure error, settled bool) error {
	l.status.trouble(fmt.Errorf("publish: %w", failure))
	if !settled {
		select {
		case <-stop.Done():
		case <-work.Done():
		case <-l.window.changed:
		}
		return nil
	}
	pause := l.backoff.next()
	l.cfg.Logger.Warn("publishing failed, trying again", "source", l.cfg.Source.Name(), "error", failure, "after", pause)
	sleep(stop, pause)
	if stop.Err() != nil || work.Err() != nil {
		return nil
	}
	if err := l.lease.check(); err != nil {
		return err
	}
	l.window.reset()
	l.collect()
	for _, p := range l.window.plans {
		l.publish(work, p)
	}
	return nil
}

// wait returns when there may be something to do: rows in the source, or
// acknowledgements where only those make room.
func (l *leader) wait(stop context.Context) error {
	if !l.hasRoom() {
		patience := time.NewTimer(removeDelay)
		defer patience.Stop()
		select {
		case <-stop.Done():
		case <-l.window.changed:
		case <-patience.C:
		}
		return nil
	}
	idle := l.cfg.Idle
	if len(l.window.plans) > 0 || len(l.done.plans) > 0 {
		idle = min(idle, removeDelay)
	}
	err := l.session.Wait(stop, idle)
	if err != nil && stop.Err() == nil {
		return fmt.Errorf("wait for the outbox: %w", err)
	}
	return nil
}

// drain waits for what is on its way, and records what has arrived.
func (l *leader) drain(work context.Context) error {
	limit := time.NewTimer(l.cfg.DrainTimeout)
	defer limit.Stop()
	for {
		l.collect()
		err, _ := l.window.failed()
		if err != nil || len(l.window.plans) == 0 {
			break
		}
		select {
		case <-l.window.changed:
			continue
		case <-work.Done():
		case <-limit.C:
		}
		break
	}
	if n := len(l.window.plans); n > 0 {
		l.cfg.Logger.Warn("relay stops before the broker has acknowledged everything; the next relay publishes it again",
			"source", l.cfg.Source.Name(), "plans", n)
	}
	if len(l.done.plans) == 0 {
		return nil
	}
	err := l.commit(work, Change{}, nil)
	if errors.Is(err, ErrFenced) {
		return nil
	}
	return err
}

// settle waits until the publisher has no message of this leader left.
func (l *leader) settle() {
	for {
		if _, settled := l.window.failed(); settled {
			return
		}
		<-l.window.changed
	}
}
