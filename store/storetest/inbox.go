package storetest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"tidings.example"
	"tidings.example/inbox"
)

func inboxTests[Tx any]() []testCase[Tx] {
	return []testCase[Tx]{
		{name: "what is saved is read again", run: testInboxRoundTrip[Tx]},
		{name: "records are of one subscriber", run: testInboxSubscribers[Tx]},
		{name: "an error or a panic rolls back", run: testInboxRollBack[Tx]},
		{name: "ids are seen once saved", run: testInboxSeen[Tx]},
		{name: "many lanes, keys and ids at once", run: testInboxMany[Tx]},
		{name: "the longest names fit", run: testInboxLongest[Tx]},
		{name: "a lane's transactions run one after the other", run: testInboxCount[Tx]},
		{name: "a lock shows what was committed while it was waited for", run: testInboxFresh[Tx]},
		{name: "one id is handled once by two at the same time", run: testInboxSameID[Tx]},
		{name: "a deadlock is transient", run: testInboxDeadlock[Tx], twoWriters: true},
		{name: "a lost connection is transient, other errors are not", run: testInboxTransient[Tx]},
		{name: "old ids are forgotten", run: testInboxForget[Tx]},
	}
}

const subscriber = "billing"

func lane(n int) tidings.Lane {
	return tidings.Lane{Source: source, Epoch: "one", Channel: "orders", N: n}
}

// locked runs fn in an inbox transaction after locking what it wants.
func (e *env[Tx]) locked(want inbox.Want, fn func(ctx context.Context, tx Tx, r inbox.Records) (inbox.Changes, error)) error {
	return e.db.Inbox.InTx(e.ctx, func(ctx context.Context, tx Tx) error {
		r, err := e.db.Inbox.Lock(ctx, tx, subscriber, want)
		if err != nil {
			return err
		}
		if len(r.Lanes) != len(want.Lanes) || len(r.Held) != len(want.Keys) || len(r.Seen) != len(want.IDs) {
			return fmt.Errorf("records of %d lanes, %d keys, %d ids; want %d, %d, %d",
				len(r.Lanes), len(r.Held), len(r.Seen), len(want.Lanes), len(want.Keys), len(want.IDs))
		}
		c, err := fn(ctx, tx, r)
		if err != nil {
			return err
		}
		return e.db.Inbox.Save(ctx, tx, subscriber, c)
	})
}

// save commits changes after locking what they are about.
func (e *env[Tx]) save(c inbox.Changes) {
	e.Helper()
	var want inbox.Want
	for _, l := range c.Lanes {
		want.Lanes = append(want.Lanes, l.Lane)
	}
	want.IDs = c.IDs
	for _, p := range c.Park {
		if !slices.Contains(want.Keys, p.HeldKey()) {
			want.Keys = append(want.Keys, p.HeldKey())
		}
	}
	e.ok(e.locked(want, func(context.Context, Tx, inbox.Records) (inbox.Changes, error) { return c, nil }))
}

// records are what a transaction of its own reads.
func (e *env[Tx]) records(want inbox.Want) (got inbox.Records) {
	e.Helper()
	e.ok(e.locked(want, func(_ context.Context, _ Tx, r inbox.Records) (inbox.Changes, error) {
		got = r
		return inbox.Changes{}, nil
	}))
	return got
}

func (e *env[Tx]) wantLane(got, want inbox.LaneState) {
	e.Helper()
	if got.Lane != want.Lane || got.Last != want.Last || got.Gaps != want.Gaps || got.Late != want.Late ||
		!slices.Equal(got.Holes, want.Holes) || !got.HandledAt.Equal(want.HandledAt) {
		e.Errorf("lane is %+v, want %+v", got, want)
	}
}

func testInboxRoundTrip[Tx any](e *env[Tx]) {
	want := inbox.Want{Lanes: []tidings.Lane{lane(1), lane(2)}}
	for i, l := range e.records(want).Lanes {
		e.wantLane(l, inbox.LaneState{Lane: want.Lanes[i]})
		if !l.HandledAt.IsZero() {
			e.Errorf("a new lane was handled at %s", l.HandledAt)
		}
	}
	states := []inbox.LaneState{
		{Lane: lane(1), Last: 7, HandledAt: time.Date(2024, 2, 29, 1, 2, 3, 456789000, time.UTC), Gaps: 3, Late: 2,
			Holes: []inbox.Hole{{First: 1, Last: 2, Before: true}, {First: 4, Last: 4}, {First: 6, Last: 6}}},
		{Lane: lane(2), Last: math.MaxInt64, Gaps: math.MaxInt64, Late: math.MaxInt64, HandledAt: time.Unix(0, 0).UTC(),
			Holes: []inbox.Hole{{First: 1, Last: 1}, {First: 3, Last: math.MaxInt64 - 1}}},
	}
	e.save(inbox.Changes{Lanes: states})
	for i, l := range e.records(want).Lanes {
		e.wantLane(l, states[i])
	}
	// The other stays as it is, and holes go away.
	states[0].Holes, states[0].Last = nil, 8
	e.save(inbox.Changes{Lanes: states[:1]})
	for i, l := range e.records(want).Lanes {
		e.wantLane(l, states[i])
	}
	var many []inbox.Hole
	for i := range uint64(1000) {
		many = append(many, inbox.Hole{First: 3*i + 1, Last: 3*i + 2})
	}
	states[0].Holes, states[0].Last = many, 5000
	e.save(inbox.Changes{Lanes: states[:1]})
	e.wantLane(e.records(want).Lanes[0], states[0])
}

func testInboxSubscribers[Tx any](e *env[Tx]) {
	id, key := inbox.MessageID{Source: source, ID: "1"}, inbox.HeldKey{Source: source, Channel: "orders", Key: "k"}
	e.save(inbox.Changes{Lanes: []inbox.LaneState{{Lane: lane(1), Last: 3}}, IDs: []inbox.MessageID{id}, Park: []inbox.Parked{parked("k", "m")}})
	e.ok(e.db.Inbox.InTx(e.ctx, func(ctx context.Context, tx Tx) error {
		r, err := e.db.Inbox.Lock(ctx, tx, "another", inbox.Want{Lanes: []tidings.Lane{lane(1)}, Keys: []inbox.HeldKey{key}, IDs: []inbox.MessageID{id}})
		if err == nil && (r.Lanes[0].Last != 0 || r.Held[0] || r.Seen[0]) {
			e.Errorf("another subscriber reads %+v", r)
		}
		if err == nil {
			var p *inbox.Parked
			if p, err = e.db.Inbox.First(ctx, tx, "another", key); p != nil {
				e.Errorf("another subscriber's first parked message is %+v", p)
			}
		}
		return err
	}))
	r := e.records(inbox.Want{Lanes: []tidings.Lane{lane(1)}, Keys: []inbox.HeldKey{key}, IDs: []inbox.MessageID{id}})
	if r.Lanes[0].Last != 3 || !r.Held[0] || !r.Seen[0] {
		e.Errorf("the subscriber itself reads %+v", r)
	}
}

func testInboxRollBack[Tx any](e *env[Tx]) {
	id := inbox.MessageID{Source: source, ID: "1"}
	want := inbox.Want{Lanes: []tidings.Lane{lane(1)}, Keys: []inbox.HeldKey{parkedKey("k")}, IDs: []inbox.MessageID{id}}
	sentinel := errors.New("handler failed")
	attempt := func(end func() error) error {
		return e.db.Inbox.InTx(e.ctx, func(ctx context.Context, tx Tx) error {
			if _, err := e.db.Inbox.Lock(ctx, tx, subscriber, want); err != nil {
				return err
			}
			if err := e.db.Outbox.Append(ctx, tx, message("k")); err != nil {
				return err
			}
			if err := e.db.Inbox.Save(ctx, tx, subscriber, inbox.Changes{Lanes: []inbox.LaneState{{Lane: lane(1), Last: 3}},
				IDs: []inbox.MessageID{id}, Park: []inbox.Parked{parked("k", "m")}}); err != nil {
				return err
			}
			return end()
		})
	}
	if err := attempt(func() error { return sentinel }); !errors.Is(err, sentinel) {
		e.Errorf("InTx returns %v, want the error of its function", err)
	}
	func() {
		defer func() {
			if got := recover(); got != "boom" {
				e.Errorf("recovered %v, want boom", got)
			}
		}()
		_ = attempt(func() error { panic("boom") })
	}()
	r := e.records(want)
	if r.Lanes[0].Last != 0 || r.Held[0] || r.Seen[0] {
		e.Errorf("after roll-backs: %+v", r)
	}
	e.wantKeys(e.read(e.session(), everything()))
}

// testAppendInInbox is about effects: they commit with the records.
func testAppendInInbox[Tx any](e *env[Tx]) {
	want := inbox.Want{Lanes: []tidings.Lane{lane(1)}}
	e.ok(e.locked(want, func(ctx context.Context, tx Tx, _ inbox.Records) (inbox.Changes, error) {
		return inbox.Changes{Lanes: []inbox.LaneState{{Lane: lane(1), Last: 1}}}, e.db.Outbox.Append(ctx, tx, message("effect"))
	}))
	e.wantKeys(e.read(e.session(), everything()), "effect")
	if r := e.records(want); r.Lanes[0].Last != 1 {
		e.Errorf("lane: %+v", r.Lanes[0])
	}
}

func testInboxSeen[Tx any](e *env[Tx]) {
	ids := []inbox.MessageID{{Source: "a", ID: "1"}, {Source: "a", ID: "2"}, {Source: "b", ID: "1"}}
	e.save(inbox.Changes{IDs: []inbox.MessageID{ids[0]}})
	if r := e.records(inbox.Want{IDs: ids}); !slices.Equal(r.Seen, []bool{true, false, false}) {
		e.Errorf("seen: %v", r.Seen)
	}
	// What was asked for and not saved is not seen.
	if r := e.records(inbox.Want{IDs: ids}); !slices.Equal(r.Seen, []bool{true, false, false}) {
		e.Errorf("seen after asking: %v", r.Seen)
	}
	e.save(inbox.Changes{IDs: ids[1:]})
	if r := e.records(inbox.Want{IDs: ids}); !slices.Equal(r.Seen, []bool{true, true, true}) {
		e.Errorf("seen: %v", r.Seen)
	}
	// In the transaction itself too.
	id := inbox.MessageID{Source: "c", ID: "1"}
	e.ok(e.locked(inbox.Want{IDs: []inbox.MessageID{id}}, func(ctx context.Context, tx Tx, _ inbox.Records) (inbox.Changes, error) {
		if err := e.db.Inbox.Save(ctx, tx, subscriber, inbox.Changes{IDs: []inbox.MessageID{id}}); err != nil {
			return inbox.Changes{}, err
		}
		r, err := e.db.Inbox.Lock(ctx, tx, subscriber, inbox.Want{IDs: []inbox.MessageID{id}})
		if err == nil && !r.Seen[0] {
			e.Error("a transaction does not see what it saved")
		}
		return inbox.Changes{}, err
	}))
}

func testInboxMany[Tx any](e *env[Tx]) {
	var want inbox.Want
	var c inbox.Changes
	for i := range 400 {
		want.Lanes = append(want.Lanes, lane(i))
		key := inbox.HeldKey{Source: source, Channel: "orders", Key: fmt.Sprintf("%03d", i)}
		id := inbox.MessageID{Source: source, ID: fmt.Sprintf("%03d", i)}
		want.Keys, want.IDs = append(want.Keys, key), append(want.IDs, id)
		if i%3 == 0 {
			c.Lanes = append(c.Lanes, inbox.LaneState{Lane: lane(i), Last: uint64(i) + 1, HandledAt: time.Unix(int64(i), 0).UTC()})
		}
		if i%4 == 0 {
			c.IDs = append(c.IDs, id)
		}
		if i%5 == 0 {
			c.Park = append(c.Park, parked(key.Key, "first"), parked(key.Key, "second"))
		}
	}
	e.ok(e.locked(want, func(context.Context, Tx, inbox.Records) (inbox.Changes, error) { return c, nil }))
	r := e.records(want)
	for i := range 400 {
		state := inbox.LaneState{Lane: lane(i)}
		if i%3 == 0 {
			state.Last, state.HandledAt = uint64(i)+1, time.Unix(int64(i), 0).UTC()
		}
		e.wantLane(r.Lanes[i], state)
		if r.Held[i] != (i%5 == 0) || r.Seen[i] != (i%4 == 0) {
			e.Errorf("%d: held %v, seen %v", i, r.Held[i], r.Seen[i])
		}
	}
}

func testInboxLongest[Tx any](e *env[Tx]) {
	name := strings.Repeat("n", tidings.MaxName)
	m := tidings.Message{ID: strings.Repeat("i", tidings.MaxID-4) + "😀", Source: name, Channel: name, Key: strings.Repeat("k", tidings.MaxKey-4) + "😀",
		Type: strings.Repeat("t", tidings.MaxType), Subject: strings.Repeat("s", tidings.MaxKey), ContentType: strings.Repeat("c", tidings.MaxContentType),
		Time: time.Unix(1, 0).UTC(), Stamp: tidings.Stamp{Epoch: strings.Repeat("e", 40), Lane: 1<<20 - 1, Sequence: math.MaxInt64}}
	l, _ := m.Lane()
	id := inbox.MessageID{Source: m.Source, ID: m.ID}
	p := inbox.Parked{Message: m, Reason: strings.Repeat("r", 10_000), Attempts: 3}
	want := inbox.Want{Lanes: []tidings.Lane{l}, Keys: []inbox.HeldKey{p.HeldKey()}, IDs: []inbox.MessageID{id}}
	for range 2 {
		err := e.db.Inbox.InTx(e.ctx, func(ctx context.Context, tx Tx) error {
			r, err := e.db.Inbox.Lock(ctx, tx, name, want)
			if err != nil || r.Seen[0] {
				return err
			}
			return e.db.Inbox.Save(ctx, tx, name, inbox.Changes{Lanes: []inbox.LaneState{{Lane: l, Last: 5}}, IDs: want.IDs, Park: []inbox.Parked{p}})
		})
		e.ok(err)
	}
	e.ok(e.db.Inbox.InTx(e.ctx, func(ctx context.Context, tx Tx) error {
		got, err := e.db.Inbox.First(ctx, tx, name, p.HeldKey())
		if err == nil && got == nil {
			e.Error("the parked message is gone")
		} else if err == nil {
			if diff := sameMessage(got.Message, m); diff != "" {
				e.Error(diff)
			}
			if !strings.HasPrefix(got.Reason, "rrr") {
				e.Errorf("reason is %.20q", got.Reason)
			}
		}
		return err
	}))
}

func testInboxCount[Tx any](e *env[Tx]) {
	const workers, each = 4, 25
	var wait sync.WaitGroup
	for range workers {
		wait.Go(func() {
			for range each {
				e.retry(inbox.Want{Lanes: []tidings.Lane{lane(1)}}, func(r inbox.Records) inbox.Changes {
					r.Lanes[0].Last++
					return inbox.Changes{Lanes: r.Lanes}
				})
			}
		})
	}
	wait.Wait()
	if got := e.records(inbox.Want{Lanes: []tidings.Lane{lane(1)}}).Lanes[0].Last; got != workers*each {
		e.Errorf("counted to %d, want %d", got, workers*each)
	}
}

// retry tries a transaction again while its error is transient.
func (e *env[Tx]) retry(want inbox.Want, fn func(r inbox.Records) inbox.Changes) {
	for {
		err := e.locked(want, func(_ context.Context, _ Tx, r inbox.Records) (inbox.Changes, error) { return fn(r), nil })
		if err == nil {
			return
		}
		if !e.db.Inbox.Transient(err) || e.ctx.Err() != nil {
			e.Errorf("not transient: %v", err)
			return
		}
	}
}

func testInboxFresh[Tx any](e *env[Tx]) {
	key := parkedKey("k")
	want := inbox.Want{Lanes: []tidings.Lane{lane(1)}, Keys: []inbox.HeldKey{key}}
	e.records(want) // the row is there
	locked, began := make(chan struct{}), make(chan struct{})
	var first sync.WaitGroup
	first.Go(func() {
		err := e.locked(want, func(context.Context, Tx, inbox.Records) (inbox.Changes, error) {
			close(locked)
			// Until the second has begun, or waits to begin.
			select {
			case <-began:
			case <-time.After(200 * time.Millisecond):
			}
			e.pass(100 * time.Millisecond)
			return inbox.Changes{Lanes: []inbox.LaneState{{Lane: lane(1), Last: 7}}, Park: []inbox.Parked{parked("k", "m")}}, nil
		})
		if err != nil {
			e.Error(err)
		}
	})
	<-locked
	tries := 0
	for {
		tries++
		err := e.db.Inbox.InTx(e.ctx, func(ctx context.Context, tx Tx) error {
			// A transaction that has a snapshot, in databases where there is one.
			if _, err := e.db.Inbox.Lock(ctx, tx, subscriber, inbox.Want{Lanes: []tidings.Lane{lane(2)}}); err != nil {
				return err
			}
			if tries == 1 {
				close(began)
			}
			r, err := e.db.Inbox.Lock(ctx, tx, subscriber, want)
			if err == nil && (r.Lanes[0].Last != 7 || !r.Held[0]) {
				e.Errorf("waited for a lane, and read %+v", r)
			}
			return err
		})
		if err == nil {
			break
		}
		if !e.db.Inbox.Transient(err) {
			e.Error(err)
			break
		}
	}
	first.Wait()
}

func testInboxSameID[Tx any](e *env[Tx]) {
	for n := range 10 {
		id := inbox.MessageID{Source: source, ID: fmt.Sprint(n)}
		var mu sync.Mutex
		effects := 0
		var wait sync.WaitGroup
		for range 4 {
			wait.Go(func() {
				for {
					handled := false
					err := e.locked(inbox.Want{IDs: []inbox.MessageID{id}}, func(_ context.Context, _ Tx, r inbox.Records) (inbox.Changes, error) {
						if handled = !r.Seen[0]; handled {
							return inbox.Changes{IDs: []inbox.MessageID{id}}, nil
						}
						return inbox.Changes{}, nil
					})
					if err == nil && handled {
						mu.Lock()
						effects++
						mu.Unlock()
					}
					if err == nil || e.ctx.Err() != nil {
						return
					}
					if !e.db.Inbox.Transient(err) {
						e.Errorf("not transient: %v", err)
						return
					}
				}
			})
		}
		wait.Wait()
		if effects != 1 {
			e.Errorf("id %d was handled %d times", n, effects)
		}
	}
}

func testInboxDeadlock[Tx any](e *env[Tx]) {
	e.records(inbox.Want{Lanes: []tidings.Lane{lane(1), lane(2)}})
	var wait sync.WaitGroup
	var both sync.WaitGroup
	both.Add(2)
	for _, order := range [][]int{{1, 2}, {2, 1}} {
		wait.Go(func() {
			for try := range 100 {
				err := e.db.Inbox.InTx(e.ctx, func(ctx context.Context, tx Tx) error {
					for i, n := range order {
						if _, err := e.db.Inbox.Lock(ctx, tx, subscriber, inbox.Want{Lanes: []tidings.Lane{lane(n)}}); err != nil {
							return err
						}
						if try == 0 && i == 0 {
							both.Done()
							both.Wait()
						}
					}
					return nil
				})
				if err == nil {
					return
				}
				if !e.db.Inbox.Transient(err) {
					e.Errorf("not transient: %v", err)
					return
				}
			}
			e.Error("100 deadlocks in a row")
		})
	}
	wait.Wait()
}

func testInboxTransient[Tx any](e *env[Tx]) {
	if e.db.Inbox.Transient(errors.New("handler failed")) {
		e.Error("any error is transient")
	}
	if e.db.Inbox.Transient(&tidings.InvalidError{Field: "key", Rule: "is bad"}) {
		e.Error("an invalid message is transient")
	}
	if e.db.Cut == nil {
		return
	}
	err := e.locked(inbox.Want{Lanes: []tidings.Lane{lane(1)}}, func(ctx context.Context, tx Tx, _ inbox.Records) (inbox.Changes, error) {
		return inbox.Changes{Lanes: []inbox.LaneState{{Lane: lane(1), Last: 1}}}, e.db.Cut(ctx, tx)
	})
	if err == nil || !e.db.Inbox.Transient(err) {
		e.Errorf("after the connection was cut: %v; want a transient error", err)
	}
	if err := fmt.Errorf("wrapped: %w", err); !e.db.Inbox.Transient(err) {
		e.Errorf("not transient any more when wrapped: %v", err)
	}
	if r := e.records(inbox.Want{Lanes: []tidings.Lane{lane(1)}}); r.Lanes[0].Last != 0 {
		e.Errorf("the cut transaction left %+v", r.Lanes[0])
	}
}

func testInboxForget[Tx any](e *env[Tx]) {
	var ids []inbox.MessageID
	for i := range 10 {
		ids = append(ids, inbox.MessageID{Source: source, ID: fmt.Sprint(i)})
	}
	e.save(inbox.Changes{IDs: ids})
	forget := func(age time.Duration, limit int) int {
		n, err := e.db.Inbox.Forget(e.ctx, subscriber, age, limit)
		e.ok(err)
		return n
	}
	if n := forget(time.Hour, 100); n != 0 {
		e.Errorf("forgot %d ids that are not old", n)
	}
	e.pass(20 * time.Millisecond)
	if n := forget(time.Microsecond, 4); n != 4 {
		e.Errorf("forgot %d ids, want 4", n)
	}
	if n := forget(time.Microsecond, 100); n != 6 {
		e.Errorf("forgot %d ids, want 6", n)
	}
	for i, seen := range e.records(inbox.Want{IDs: ids}).Seen {
		if seen {
			e.Errorf("id %d is still seen", i)
		}
	}
}
