package storetest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"tidings.example"
	"tidings.example/admin"
	"tidings.example/inbox"
)

func parkedTests[Tx any]() []testCase[Tx] {
	return []testCase[Tx]{
		{name: "parked messages come back whole, in order", run: testParkedOrder[Tx]},
		{name: "a message without a key holds its id", run: testParkedKeyless[Tx]},
		{name: "the key is released after the last", run: testParkedRelease[Tx]},
		{name: "a roll-back keeps what was removed", run: testParkedRollBack[Tx]},
		{name: "requests are what an operator asked for", run: testParkedRequests[Tx]},
		{name: "a failed retry is recorded and asked for no more", run: testParkedFail[Tx]},
		{name: "held keys are counted", run: testParkedCount[Tx]},
		{name: "no message overtakes a key that is worked off", run: testParkedRace[Tx]},
	}
}

func parked(key, id string) inbox.Parked {
	m := message(key)
	m.ID, m.Source, m.ContentType, m.Time = id, source, "application/json", time.Unix(1e9, 123456000).UTC()
	return inbox.Parked{Message: m, Reason: "handler failed", Attempts: 5}
}

func parkedKey(key string) inbox.HeldKey {
	return inbox.HeldKey{Source: source, Channel: "orders", Key: key}
}

// first reads the first parked message in a transaction of its own, and removes it if asked to.
func (e *env[Tx]) first(key inbox.HeldKey, remove bool) (p *inbox.Parked) {
	e.Helper()
	e.ok(e.db.Inbox.InTx(e.ctx, func(ctx context.Context, tx Tx) (err error) {
		if p, err = e.db.Inbox.First(ctx, tx, subscriber, key); err != nil || p == nil || !remove {
			return err
		}
		return e.db.Inbox.Remove(ctx, tx, subscriber, p.ID)
	}))
	return p
}

func (e *env[Tx]) held(key inbox.HeldKey) bool {
	e.Helper()
	return e.records(inbox.Want{Keys: []inbox.HeldKey{key}}).Held[0]
}

func testParkedOrder[Tx any](e *env[Tx]) {
	full := parked("a", "full")
	full.Message.Headers = tidings.Headers{"tenant": "ä\"b\\c'", "empty": ""}
	full.Message.Subject = "Betreff"
	full.Message.Payload = []byte{0, 1, 0xff, '\''}
	full.Message.Stamp = tidings.Stamp{Epoch: "one", Lane: 959, Sequence: 1 << 60}
	full.Reason = "ein \"Fehler\"\nin zwei Zeilen"
	behind := parked("a", "behind")
	behind.Attempts, behind.Reason = 0, "waits"
	empty := parked("a", "empty")
	empty.Message.Payload, empty.Message.Headers = nil, nil
	e.save(inbox.Changes{Park: []inbox.Parked{full, parked("b", "other"), behind}})
	e.save(inbox.Changes{Park: []inbox.Parked{empty}})
	var lastID int64
	for i, want := range []inbox.Parked{full, behind, empty} {
		p := e.first(parkedKey("a"), true)
		if p == nil {
			e.Fatalf("message %d is missing", i)
		}
		if diff := sameMessage(p.Message, want.Message); diff != "" {
			e.Errorf("message %d: %s", i, diff)
		}
		if p.Reason != want.Reason || p.Attempts != want.Attempts || p.ID <= lastID || time.Since(p.ParkedAt).Abs() > time.Minute {
			e.Errorf("message %d: %+v", i, p)
		}
		lastID = p.ID
	}
	if !e.held(parkedKey("b")) {
		e.Error("the other key is not held any more")
	}
}

func testParkedKeyless[Tx any](e *env[Tx]) {
	p := parked("", "my id")
	e.save(inbox.Changes{Park: []inbox.Parked{p}})
	if !e.held(parkedKey("my id")) {
		e.Error("its id is not held")
	}
	got := e.first(parkedKey("my id"), false)
	if got == nil {
		e.Fatal("it is not found by its id")
	}
	if diff := sameMessage(got.Message, p.Message); diff != "" {
		e.Error(diff)
	}
}

func testParkedRelease[Tx any](e *env[Tx]) {
	if p := e.first(parkedKey("a"), false); p != nil {
		e.Errorf("a key that was never held has %+v", p)
	}
	e.save(inbox.Changes{Park: []inbox.Parked{parked("a", "1"), parked("a", "2")}})
	for range 2 {
		if !e.held(parkedKey("a")) {
			e.Error("not held")
		}
		if e.first(parkedKey("a"), true) == nil {
			e.Fatal("no message")
		}
	}
	if p := e.first(parkedKey("a"), false); p != nil {
		e.Errorf("one too many: %+v", p)
	}
	if e.held(parkedKey("a")) {
		e.Error("held after the last")
	}
	e.save(inbox.Changes{Park: []inbox.Parked{parked("a", "3")}})
	if p := e.first(parkedKey("a"), false); p == nil || p.Message.ID != "3" || !e.held(parkedKey("a")) {
		e.Errorf("held again: %+v", p)
	}
}

func testParkedRollBack[Tx any](e *env[Tx]) {
	e.save(inbox.Changes{Park: []inbox.Parked{parked("a", "1")}})
	_ = e.db.Inbox.InTx(e.ctx, func(ctx context.Context, tx Tx) error {
		p, err := e.db.Inbox.First(ctx, tx, subscriber, parkedKey("a"))
		if err == nil && p != nil {
			err = e.db.Inbox.Remove(ctx, tx, subscriber, p.ID)
		}
		if err == nil {
			p, err = e.db.Inbox.First(ctx, tx, subscriber, parkedKey("a"))
		}
		if err != nil || p != nil {
			e.Errorf("after the removal: %+v, %v", p, err)
		}
		return context.Canceled
	})
	if p := e.first(parkedKey("a"), false); p == nil || !e.held(parkedKey("a")) {
		e.Errorf("after the roll-back: %+v", p)
	}
}

func (e *env[Tx]) requests(limit int) []inbox.HeldKey {
	e.Helper()
	keys, err := e.db.Inbox.Requests(e.ctx, subscriber, limit)
	e.ok(err)
	return keys
}

// listed returns the parked messages of a filter.
func (e *env[Tx]) listed(f admin.ParkedFilter) []admin.ParkedMessage {
	e.Helper()
	ps, err := e.db.Admin.ListParked(e.ctx, f)
	e.ok(err)
	return ps
}

func because(why string) admin.Action { return admin.Action{Actor: "ada", Reason: why} }

func testParkedRequests[Tx any](e *env[Tx]) {
	e.save(inbox.Changes{Park: []inbox.Parked{parked("a", "1"), parked("b", "2"), parked("a", "3"), parked("c", "4")}})
	if keys := e.requests(10); len(keys) != 0 {
		e.Errorf("requests before any: %v", keys)
	}
	ps := e.listed(admin.ParkedFilter{})
	e.ok(e.db.Admin.RetryParked(e.ctx, ps[2].ID, because("fixed")))
	if keys := e.requests(10); !slices.Equal(keys, []inbox.HeldKey{parkedKey("a")}) {
		e.Errorf("requests: %v", keys)
	}
	e.ok(e.db.Admin.RetryParked(e.ctx, ps[1].ID, because("fixed")))
	e.ok(e.db.Admin.RetryParked(e.ctx, ps[1].ID, because("fixed again")))
	if keys := e.requests(10); len(keys) != 2 || !slices.Contains(keys, parkedKey("b")) {
		e.Errorf("requests: %v", keys)
	}
	if keys := e.requests(1); len(keys) != 1 {
		e.Errorf("requests up to one: %v", keys)
	}
	// Worked off, it is no request any more.
	for e.first(parkedKey("b"), true) != nil {
	}
	if keys := e.requests(10); !slices.Equal(keys, []inbox.HeldKey{parkedKey("a")}) {
		e.Errorf("requests: %v", keys)
	}
}

func testParkedFail[Tx any](e *env[Tx]) {
	e.save(inbox.Changes{Park: []inbox.Parked{parked("a", "1"), parked("a", "2")}})
	e.ok(e.db.Admin.RetryParked(e.ctx, e.listed(admin.ParkedFilter{})[0].ID, because("try")))
	e.ok(e.db.Inbox.InTx(e.ctx, func(ctx context.Context, tx Tx) error {
		p, err := e.db.Inbox.First(ctx, tx, subscriber, parkedKey("a"))
		if err != nil || p == nil {
			return err
		}
		p.Attempts, p.Reason = p.Attempts+1, "failed again"
		return e.db.Inbox.Fail(ctx, tx, subscriber, p)
	}))
	if keys := e.requests(10); len(keys) != 0 {
		e.Errorf("requests after the failure: %v", keys)
	}
	if p := e.first(parkedKey("a"), false); p == nil || p.Message.ID != "1" || p.Attempts != 6 || p.Reason != "failed again" {
		e.Errorf("after the failure: %+v", p)
	}
	if !e.held(parkedKey("a")) {
		e.Error("not held")
	}
}

func testParkedCount[Tx any](e *env[Tx]) {
	counter, ok := e.db.Inbox.(inbox.HeldCounter)
	if !ok {
		return
	}
	count := func() (int, time.Duration) {
		n, age, err := counter.CountHeld(e.ctx, subscriber)
		e.ok(err)
		return n, age
	}
	if n, age := count(); n != 0 || age != 0 {
		e.Errorf("nothing is held: %d, %s", n, age)
	}
	e.save(inbox.Changes{Park: []inbox.Parked{parked("a", "1"), parked("a", "2"), parked("b", "3")}})
	e.pass(10 * time.Millisecond)
	if n, age := count(); n != 2 || age < 5*time.Millisecond || age > time.Minute {
		e.Errorf("two keys are held: %d, %s", n, age)
	}
	e.ok(e.db.Inbox.InTx(e.ctx, func(ctx context.Context, tx Tx) error {
		_, err := e.db.Inbox.First(ctx, tx, "another", parkedKey("a"))
		return err
	}))
	if n, _, err := counter.CountHeld(e.ctx, "another"); err != nil || n != 0 {
		e.Errorf("another subscriber holds %d, %v", n, err)
	}
}

// testParkedRace parks and handles messages of one key while the key is worked
// off at the same time. A message may only be handled directly when all before
// it are worked off.
func testParkedRace[Tx any](e *env[Tx]) {
	const n = 120
	key := parkedKey("a")
	want := inbox.Want{Lanes: []tidings.Lane{lane(1)}, Keys: []inbox.HeldKey{key}}
	var mu sync.Mutex
	var order []string
	var wait sync.WaitGroup
	produced := make(chan struct{})

	// handled notes an effect inside a transaction, which holds the key; undo takes it back.
	handled := func(id string) (undo func()) {
		mu.Lock()
		defer mu.Unlock()
		order = append(order, id)
		return func() {
			mu.Lock()
			defer mu.Unlock()
			order = order[:len(order)-1]
		}
	}
	again := func(err error) bool {
		if err == nil {
			return false
		}
		if !e.db.Inbox.Transient(err) || e.ctx.Err() != nil {
			e.Errorf("not transient: %v", err)
			return false
		}
		return true
	}

	wait.Go(func() {
		defer close(produced)
		for i := range n {
			id := fmt.Sprint(i)
			for {
				undo := func() {}
				err := e.locked(want, func(_ context.Context, _ Tx, r inbox.Records) (inbox.Changes, error) {
					c := inbox.Changes{Lanes: []inbox.LaneState{{Lane: lane(1), Last: uint64(i + 1)}}}
					if r.Held[0] || i%8 == 0 {
						c.Park = []inbox.Parked{parked("a", id)}
					} else {
						undo = handled(id)
					}
					return c, nil
				})
				if err != nil {
					undo()
				}
				if !again(err) {
					break
				}
			}
		}
	})
	wait.Go(func() {
		for last := false; ; {
			select {
			case <-produced:
				last = true
			default:
			}
			var p *inbox.Parked
			undo := func() {}
			err := e.db.Inbox.InTx(e.ctx, func(ctx context.Context, tx Tx) (err error) {
				if p, err = e.db.Inbox.First(ctx, tx, subscriber, key); err != nil || p == nil {
					return err
				}
				if err = e.db.Inbox.Remove(ctx, tx, subscriber, p.ID); err == nil {
					undo = handled(p.Message.ID)
				}
				return err
			})
			if err != nil {
				undo()
			}
			if !again(err) && (err != nil || p == nil && last) {
				return
			}
		}
	})
	wait.Wait()
	if len(order) != n {
		e.Errorf("handled %d messages, want %d", len(order), n)
	}
	for i, id := range order {
		if id != fmt.Sprint(i) {
			e.Fatalf("message %s was handled as number %d: %v", id, i, order)
		}
	}
}
