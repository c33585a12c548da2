package storetest

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"tidings.example/relay"
)

func leaseTests[Tx any]() []testCase[Tx] {
	return []testCase[Tx]{
		{name: "one holder at a time", run: testLeaseExclusive[Tx]},
		{name: "a holder takes its own lease again", run: testLeaseAgain[Tx]},
		{name: "an expired lease is taken over and its session fenced", run: testLeaseTakeOver[Tx]},
		{name: "an expired lease that nobody took is still good", run: testLeaseExpiredAlone[Tx]},
		{name: "renewals keep the lease", run: testLeaseRenewed[Tx]},
		{name: "a released lease is free at once", run: testLeaseReleased[Tx]},
		{name: "an outbox has one source", run: testLeaseOtherSource[Tx]},
		{name: "of many at once one wins", run: testLeaseRace[Tx]},
		{name: "renewals run beside the rest", run: testLeaseBeside[Tx]},
		{name: "without tables the error says what to do", run: testLeaseNoTables[Tx], empty: true},
	}
}

func testLeaseExclusive[Tx any](e *env[Tx]) {
	_, st := e.acquire("a", time.Hour)
	if st.Fence < 1 || st.Epoch != "" || st.Lanes != 0 || st.Identity != "" || st.Now == "" || len(st.Counters)+len(st.Plans)+len(st.Held) != 0 {
		e.Errorf("first state: %+v", st)
	}
	_, _, err := e.db.Relay(source).Acquire(e.ctx, "b", time.Minute)
	var held *relay.HeldError
	if !errors.As(err, &held) || !errors.Is(err, relay.ErrFenced) {
		e.Fatalf("second holder: %v, want a HeldError", err)
	}
	if held.Holder != "a" || held.Source != source || held.Expires < 50*time.Minute || held.Expires > time.Hour {
		e.Errorf("held: %+v", held)
	}
}

func testLeaseAgain[Tx any](e *env[Tx]) {
	first, st1 := e.acquire("a", time.Hour)
	second, st2 := e.acquire("a", time.Hour)
	if st2.Fence <= st1.Fence {
		e.Errorf("fence went from %d to %d", st1.Fence, st2.Fence)
	}
	if st1.Now != st2.Now {
		e.Errorf("the identity went from %q to %q", st1.Now, st2.Now)
	}
	e.wantFenced(first)
	e.commit(second, relay.Change{Plan: &relay.Plan{ID: 1, Positions: relay.EncodePositions([]int64{1})}})
}

// wantFenced checks that a session can change nothing.
func (e *env[Tx]) wantFenced(s relay.Session) {
	e.Helper()
	rows := e.read(s, everything())
	c := relay.Change{
		Plan:     &relay.Plan{ID: 99, Positions: relay.EncodePositions([]int64{1})},
		Counters: map[string][]byte{"orders": relay.Counters{9}.Encode()},
		Epoch:    &relay.Epoch{Name: "zombie", Lanes: 1, Identity: "zombie", Reason: "zombie"},
	}
	for i, r := range rows {
		if i%2 == 0 {
			c.Done = append(c.Done, r.Position)
		} else {
			c.SetAside = append(c.SetAside, aside(r.Position, heldBy(&r.Message)))
		}
	}
	if err := s.Commit(e.ctx, c); !errors.Is(err, relay.ErrFenced) {
		e.Errorf("commit of a fenced session: %v", err)
	}
	if _, err := s.Renew(e.ctx); !errors.Is(err, relay.ErrFenced) {
		e.Errorf("renewal of a fenced session: %v", err)
	}
	if again := e.read(s, everything()); len(again) != len(rows) {
		e.Errorf("a fenced session left %d rows of %d", len(again), len(rows))
	}
}

func testLeaseTakeOver[Tx any](e *env[Tx]) {
	e.append("a", "b", "c", "d")
	old, st := e.acquire("a", 400*time.Millisecond)
	e.commit(old, relay.Change{Epoch: epoch("one")})
	plan := relay.Plan{ID: 7, Positions: relay.EncodePositions([]int64{1, 2})}
	e.commit(old, relay.Change{Plan: &plan})
	var next relay.Session
	var st2 relay.State
	e.until("the lease to expire", func() bool {
		var err error
		next, st2, err = e.db.Relay(source).Acquire(e.ctx, "b", time.Hour)
		var held *relay.HeldError
		if err != nil && !errors.As(err, &held) {
			e.Fatal(err)
		}
		if err != nil && held.Expires > 400*time.Millisecond {
			e.Fatalf("the lease still runs %s", held.Expires)
		}
		return err == nil
	})
	e.releaseLater(next)
	if st2.Fence <= st.Fence {
		e.Errorf("fence went from %d to %d", st.Fence, st2.Fence)
	}
	e.wantFenced(old)
	e.commit(next, relay.Change{Done: []int64{0}})
	if _, err := next.Renew(e.ctx); err != nil {
		e.Error(err)
	}
	e.ok(next.Commit(e.ctx, relay.Change{Plan: &relay.Plan{ID: 8, Positions: relay.EncodePositions([]int64{3})}}))
	_, st3 := e.acquire("b", time.Hour)
	if st3.Epoch != "one" || len(st3.Plans) != 2 || st3.Plans[0].ID != 7 || st3.Plans[1].ID != 8 || len(st3.Counters) != 0 {
		e.Errorf("a fenced session changed the state: %+v", st3)
	}
}

func testLeaseExpiredAlone[Tx any](e *env[Tx]) {
	s, _ := e.acquire("a", 50*time.Millisecond)
	e.pass(150 * time.Millisecond)
	e.commit(s, relay.Change{Plan: &relay.Plan{ID: 1, Positions: relay.EncodePositions([]int64{1})}})
	if _, err := s.Renew(e.ctx); err != nil {
		e.Error(err)
	}
}

func testLeaseRenewed[Tx any](e *env[Tx]) {
	const ttl = 800 * time.Millisecond
	s, _ := e.acquire("a", ttl)
	for begin := time.Now(); time.Since(begin) < 2*ttl; e.pass(ttl / 8) {
		asked := time.Now()
		_, err := s.Renew(e.ctx)
		e.ok(err)
		var held *relay.HeldError
		_, _, err = e.db.Relay(source).Acquire(e.ctx, "b", ttl)
		if time.Since(asked) > ttl {
			continue // a slow machine, which proves nothing
		}
		if !errors.As(err, &held) {
			e.Fatalf("a second holder: %v", err)
		}
	}
}

func testLeaseReleased[Tx any](e *env[Tx]) {
	s, _, err := e.db.Relay(source).Acquire(e.ctx, "a", time.Hour)
	e.ok(err)
	e.ok(s.Release(e.ctx))
	second, _, err := e.db.Relay(source).Acquire(e.ctx, "b", time.Hour)
	e.ok(err)
	b, err := e.db.Admin.Backlog(e.ctx)
	e.ok(err)
	if b.Holder != "b" {
		e.Errorf("the holder is %q", b.Holder)
	}
	// One that was fenced gives nothing up.
	third, _ := e.acquire("b", time.Hour)
	e.ok(second.Release(e.ctx))
	if _, err := third.Renew(e.ctx); err != nil {
		e.Errorf("the release of a fenced session took the lease away: %v", err)
	}
}

func testLeaseOtherSource[Tx any](e *env[Tx]) {
	s, _, err := e.db.Relay(source).Acquire(e.ctx, "a", time.Hour)
	e.ok(err)
	e.ok(s.Release(e.ctx))
	_, _, err = e.db.Relay("other").Acquire(e.ctx, "a", time.Hour)
	if err == nil || errors.Is(err, relay.ErrFenced) || !strings.Contains(err.Error(), source) {
		e.Errorf("another source: %v; want an error that names %q", err, source)
	}
}

func testLeaseRace[Tx any](e *env[Tx]) {
	var mu sync.Mutex
	fences := map[int64]string{}
	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() {
			holder := fmt.Sprintf("relay-%d", i)
			s, st, err := e.db.Relay(source).Acquire(e.ctx, holder, time.Hour)
			if err != nil {
				if !errors.Is(err, relay.ErrFenced) {
					e.Errorf("%s: %v", holder, err)
				}
				return
			}
			mu.Lock()
			fences[st.Fence] = holder
			mu.Unlock()
			e.releaseLater(s)
		})
	}
	wait.Wait()
	if len(fences) != 1 {
		e.Errorf("holders by fence: %v, want one", fences)
	}
}

func testLeaseBeside[Tx any](e *env[Tx]) {
	s := e.session()
	e.append("a", "b", "c")
	var wait sync.WaitGroup
	wait.Go(func() {
		for range 50 {
			if _, err := s.Renew(e.ctx); err != nil {
				e.Errorf("renew: %v", err)
			}
		}
	})
	for i := range 50 {
		e.read(s, everything())
		e.commit(s, relay.Change{Plan: &relay.Plan{ID: int64(i), Positions: relay.EncodePositions([]int64{1})}, DonePlans: []int64{int64(i) - 1}})
		e.ok(s.Wait(e.ctx, time.Millisecond))
	}
	wait.Wait()
}

func testLeaseNoTables[Tx any](e *env[Tx]) {
	_, _, err := e.db.Relay(source).Acquire(e.ctx, "a", time.Hour)
	if err == nil || !strings.Contains(err.Error(), "migrate") {
		e.Errorf("acquire without tables: %v; want an error that says to migrate", err)
	}
}
