package storetest

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"time"

	"tidings.example"
	"tidings.example/admin"
	"tidings.example/relay"
)

func changeTests[Tx any]() []testCase[Tx] {
	return []testCase[Tx]{
		{name: "plans and counters outlive a session", run: testChangeState[Tx]},
		{name: "done rows are removed, and no others", run: testChangeDone[Tx]},
		{name: "everything at once", run: testChangeAll[Tx]},
		{name: "rows are set aside and return to their places", run: testChangeAside[Tx]},
		{name: "rows without a key are set aside", run: testChangeAsideKeyless[Tx]},
		{name: "a new epoch replaces the old one", run: testChangeEpoch[Tx]},
		{name: "a retry that was asked for is told at the next renewal", run: testChangeRetry[Tx]},
	}
}

func epoch(name string) *relay.Epoch {
	return &relay.Epoch{Name: name, Lanes: 4, Identity: "identity of " + name, Reason: "test"}
}

func aside(position int64, key relay.HeldKey) relay.SetAside {
	return relay.SetAside{Position: position, Key: key, Reason: "bad"}
}

func change(aside ...relay.SetAside) relay.Change { return relay.Change{SetAside: aside} }

func returns(keys ...relay.HeldKey) relay.Change { return relay.Change{Return: keys} }

// heldBy is the key that a relay holds for a row.
func heldBy(m *tidings.Message) relay.HeldKey { return relay.HeldKey{Channel: m.Channel, Key: m.Key} }

func testChangeState[Tx any](e *env[Tx]) {
	s, st := e.acquire("a", time.Hour)
	e.commit(s, relay.Change{Epoch: &relay.Epoch{Name: "one", Lanes: 960, Identity: st.Now, Reason: "first epoch"}})
	p1 := relay.Plan{ID: 1, Positions: relay.EncodePositions([]int64{3, 1, 2})}
	p2 := relay.Plan{ID: 2, Positions: relay.EncodePositions([]int64{1 << 40, 4})}
	p3 := relay.Plan{ID: 3, Positions: relay.EncodePositions(nil)}
	e.commit(s, relay.Change{Plan: &p1})
	e.commit(s, relay.Change{Plan: &p2})
	first := relay.Counters{1, 0, 5, 1 << 60}.Encode()
	second := relay.Counters{2, 2, 2, 2}.Encode()
	e.commit(s, relay.Change{Plan: &p3, DonePlans: []int64{1}, Counters: map[string][]byte{"orders": first, "customers": first}})
	e.commit(s, relay.Change{Counters: map[string][]byte{"orders": second}})

	_, st = e.acquire("a", time.Hour)
	if st.Epoch != "one" || st.Lanes != 960 || st.Identity != st.Now {
		e.Errorf("state: epoch %q, %d lanes, identity %q and now %q", st.Epoch, st.Lanes, st.Identity, st.Now)
	}
	if !maps.EqualFunc(st.Counters, map[string][]byte{"orders": second, "customers": first}, bytes.Equal) {
		e.Errorf("counters: %v", st.Counters)
	}
	if len(st.Plans) != 2 || st.Plans[0].ID != 2 || st.Plans[1].ID != 3 ||
		!bytes.Equal(st.Plans[0].Positions, p2.Positions) || !bytes.Equal(st.Plans[1].Positions, p3.Positions) {
		e.Errorf("plans: %v", st.Plans)
	}
}

func testChangeDone[Tx any](e *env[Tx]) {
	ms := make([]tidings.Message, 6000)
	for i := range ms {
		ms[i] = message(fmt.Sprint(i))
	}
	e.appendMessages(ms...)
	s := e.session()
	at := positionsOf(e.read(s, everything()))
	var done []int64
	var left []tidings.Message
	for i, p := range at {
		switch {
		case i < 3000 && i%3 != 0, i >= 3000 && i < 5500:
			done = append(done, p)
		default:
			left = append(left, ms[i])
		}
	}
	slices.Reverse(done) // any order, and one that is gone already
	e.commit(s, relay.Change{Done: append(done, 1<<40)})
	e.wantRows(e.read(s, everything()), left)
}

func testChangeAll[Tx any](e *env[Tx]) {
	e.append("a", "b", "c", "d", "e")
	s := e.session()
	at := positionsOf(e.read(s, everything()))
	held := relay.HeldKey{Channel: "orders", Key: "b"}
	e.commit(s, relay.Change{Epoch: epoch("one")})
	e.commit(s, relay.Change{SetAside: []relay.SetAside{aside(at[1], held)}, Plan: &relay.Plan{ID: 1, Positions: relay.EncodePositions(at[:1])}})
	e.commit(s, relay.Change{
		Done: []int64{at[0]}, DonePlans: []int64{1}, Counters: map[string][]byte{"orders": relay.Counters{1}.Encode()},
		Plan:     &relay.Plan{ID: 2, Positions: relay.EncodePositions(at[2:3])},
		SetAside: []relay.SetAside{aside(at[3], relay.HeldKey{Channel: "orders", Key: "d"})},
		Return:   []relay.HeldKey{held},
	})
	e.wantKeys(e.read(s, everything()), "b", "c", "e")
	_, st := e.acquire("relay-1", time.Hour)
	if len(st.Plans) != 1 || st.Plans[0].ID != 2 || len(st.Counters) != 1 || len(st.Held) != 1 || st.Held[0].Key != "d" {
		e.Errorf("state: %+v", st)
	}
}

func testChangeAside[Tx any](e *env[Tx]) {
	ms := e.append("a", "b", "a", "c", "a")
	s := e.session()
	rows := e.read(s, everything())
	at := positionsOf(rows)
	a, c := heldBy(&ms[0]), heldBy(&ms[3])
	e.commit(s, change(aside(at[0], a), aside(at[2], a), aside(at[3], c)))
	e.wantKeys(e.read(s, everything()), "b", "a")
	e.wantHeld(s, a, c)

	all, err := e.db.Admin.ListSetAside(e.ctx, 0)
	e.ok(err)
	if len(all) != 3 {
		e.Fatalf("%d set-aside rows", len(all))
	}
	for i, n := range []int{0, 2, 3} {
		if all[i].Position != at[n] || all[i].Reason != "bad" || all[i].RetryAsked || time.Since(all[i].AsideAt).Abs() > time.Minute {
			e.Errorf("set-aside row %d: %+v", i, all[i])
		}
		if diff := sameMessage(all[i].Message, ms[n]); diff != "" {
			e.Errorf("set-aside row %d: %s", i, diff)
		}
	}
	if some, err := e.db.Admin.ListSetAside(e.ctx, 2); err != nil || len(some) != 2 {
		e.Errorf("a list of at most 2 has %d, %v", len(some), err)
	}

	e.commit(s, returns(a, relay.HeldKey{Channel: "orders", Key: "unknown"}))
	back := e.read(s, everything())
	e.wantRows(back, []tidings.Message{ms[0], ms[1], ms[2], ms[4]})
	if back[0].Position != at[0] || back[2].Position != at[2] {
		e.Errorf("returned to %d and %d, from %d and %d", back[0].Position, back[2].Position, at[0], at[2])
	}
	e.wantHeld(s, c)
	e.append("new")
	if rows := e.read(s, queryAbove(at[4])); len(rows) != 1 {
		e.Errorf("a row appended after a return is not above the others")
	}
}

func (e *env[Tx]) wantHeld(s relay.Session, want ...relay.HeldKey) {
	e.Helper()
	renewal, err := s.Renew(e.ctx)
	e.ok(err)
	if len(renewal.Held) != len(want) {
		e.Errorf("held keys %+v, want %+v", renewal.Held, want)
	}
	for _, k := range want {
		if !slices.Contains(renewal.Held, k) {
			e.Errorf("held keys %+v lack %+v", renewal.Held, k)
		}
	}
}

func testChangeAsideKeyless[Tx any](e *env[Tx]) {
	ms := e.append("", "k", "")
	s := e.session()
	at := positionsOf(e.read(s, everything()))
	none := relay.HeldKey{Channel: "orders"}
	e.commit(s, change(aside(at[0], none), aside(at[2], none)))
	e.wantKeys(e.read(s, everything()), "k")
	renewal, err := s.Renew(e.ctx)
	e.ok(err)
	if len(renewal.Held) != 1 || renewal.Held[0] != none {
		e.Errorf("held: %+v", renewal.Held)
	}
	e.commit(s, returns(none))
	e.wantRows(e.read(s, everything()), ms)
}

func testChangeEpoch[Tx any](e *env[Tx]) {
	e.append("a")
	s := e.session()
	at := positionsOf(e.read(s, everything()))
	e.commit(s, relay.Change{Epoch: epoch("one")})
	e.commit(s, relay.Change{Plan: &relay.Plan{ID: 1, Positions: relay.EncodePositions(at)}, Counters: map[string][]byte{"orders": relay.Counters{1, 2, 3, 4}.Encode()}})
	e.commit(s, relay.Change{Epoch: epoch("two")})
	_, st := e.acquire("relay-1", time.Hour)
	if st.Epoch != "two" || st.Lanes != 4 || st.Identity != "identity of two" || len(st.Plans)+len(st.Counters) != 0 {
		e.Errorf("state: %+v", st)
	}
	e.wantKeys(e.read(s, everything()), "a")
	b, err := e.db.Admin.Backlog(e.ctx)
	e.ok(err)
	if b.Epoch != "two" {
		e.Errorf("backlog has the epoch %q", b.Epoch)
	}
}

func testChangeRetry[Tx any](e *env[Tx]) {
	ms := e.append("a", "b", "a")
	s := e.session()
	at := positionsOf(e.read(s, everything()))
	a, b := heldBy(&ms[0]), heldBy(&ms[1])
	e.commit(s, change(aside(at[0], a), aside(at[1], b)))
	e.ok(e.db.Admin.RetrySetAside(e.ctx, a.Channel, a.Key, admin.Action{Actor: "ada", Reason: "fixed"}))
	renewal, err := s.Renew(e.ctx)
	e.ok(err)
	for _, k := range renewal.Held {
		if k.Retry != (k.Key == "a") {
			e.Errorf("held: %+v", k)
		}
	}
	// A row set aside behind does not take the request back.
	e.commit(s, change(aside(at[2], a)))
	renewal, err = s.Renew(e.ctx)
	e.ok(err)
	if i := slices.IndexFunc(renewal.Held, func(k relay.HeldKey) bool { return k.Key == "a" }); i < 0 || !renewal.Held[i].Retry {
		e.Errorf("held: %+v, want a retry of a", renewal.Held)
	}
	e.commit(s, returns(a))
	e.wantKeys(e.read(s, everything()), "a", "a")
	// Set aside once more, it has to be asked for again.
	e.commit(s, change(aside(at[0], a), aside(at[2], a)))
	e.wantHeld(s, a, b)
}
