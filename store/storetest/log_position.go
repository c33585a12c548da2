package storetest

import (
	"context"
	"fmt"
	"maps"
	"time"

	"tidings.example"
	"tidings.example/relay"
)

func testLogResume[Tx any](e *logEnv[Tx]) {
	t := e.follow("one")
	var keys []string
	for i, size := range []int{1, 5, 1, 12, 3, 1} {
		var ms []string
		for j := range size {
			ms = append(ms, fmt.Sprintf("%d-%d", i, j))
		}
		e.append(ms...)
		keys = append(keys, ms...)
	}
	batches := e.next(t, len(keys), 2, 1<<20)
	e.wantKeys(rowsOf(batches), keys...)
	e.end(t)
	done := 0
	for _, b := range batches {
		done += len(b.Rows)
		if done == len(keys) {
			break
		}
		again := e.takeAt("again", b.End)
		if again.start.Fresh {
			e.Fatalf("position %q behind %d rows is not found any more: %+v", b.End, done, again.start)
		}
		// Other limits than the first time: the borders of batches are not positions' own.
		e.wantKeys(rowsOf(e.next(again, len(keys)-done, 1+done%4, 1<<20)), keys[done:]...)
		e.end(again)
	}
	e.endForGood(e.takeAt("last", batches[0].End))
}

func testLogCheckpoint[Tx any](e *logEnv[Tx]) {
	t := e.follow("one")
	e.append("a", "b", "c")
	batches := e.next(t, 3, 1, 1<<20)
	counters := map[string][]byte{"orders": relay.Counters{0, 7, 300}.Encode()}
	want := relay.Checkpoint{Position: batches[1].End, Aside: relay.EncodePositions([]int64{3, 9}),
		Published: (&relay.PositionSet{High: 12, Gaps: []relay.Range{{First: 3, Last: 4}}}).Encode(),
		Tableless: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)}
	e.commit(t.session, relay.Change{Log: &want, Counters: counters})
	t.Confirm(want)
	e.end(t)

	t = e.take("two")
	got := t.state
	if t.start.Fresh || got.Reading != relay.FromLog || string(got.Log.Position) != string(want.Position) || string(got.Log.Aside) != string(want.Aside) ||
		string(got.Log.Published) != string(want.Published) || !got.Log.Tableless.Equal(want.Tableless) {
		e.Fatalf("start %+v with state %+v, saved was %+v", t.start, got, want)
	}
	if !maps.EqualFunc(got.Counters, counters, func(a, b []byte) bool { return string(a) == string(b) }) {
		e.Errorf("counters are %v, saved were %v", got.Counters, counters)
	}
	e.wantKeys(e.rows(t, 1), "c")
	e.nothing(t)
	e.endForGood(t)
}

func testLogUnconfirmed[Tx any](e *logEnv[Tx]) {
	t := e.follow("one")
	e.append("a", "b")
	batches := e.next(t, 2, 1, 1<<20)
	e.save(t, batches[0].End)
	e.append("c")
	e.wantKeys(e.rows(t, 1), "c")
	e.end(t)
	t = e.take("two")
	e.wantKeys(e.rows(t, 2), "b", "c")
	e.nothing(t)
	e.endForGood(t)
}

func testLogFloor[Tx any](e *logEnv[Tx]) {
	t := e.follow("one")
	open, err := e.db.Begin(e.ctx)
	e.ok(err)
	e.appendNow(open, "open")
	floor := int64(0)
	var rows []relay.Row
	take := func() {
		e.append("x")
		for _, b := range e.next(t, 1, 1000, 1<<20) {
			for _, r := range b.Rows {
				if r.Position <= floor {
					e.Errorf("row %d came behind the floor %d", r.Position, floor)
				}
			}
			rows = append(rows, b.Rows...)
			floor = max(floor, b.Floor)
		}
	}
	// Long enough for a store that looks every second.
	for until := time.Now().Add(2500 * time.Millisecond); time.Now().Before(until); {
		take()
	}
	if floor >= rows[0].Position {
		e.Errorf("floor %d, though a transaction with a position below %d is open", floor, rows[0].Position)
	}
	e.ok(e.db.Commit(e.ctx, open))
	late := e.rows(t, 1)
	e.wantKeys(late, "open")
	if late[0].Position <= floor {
		e.Errorf("row %d came behind the floor %d", late[0].Position, floor)
	}
	e.until("a floor above the transaction that is over", func() bool {
		take()
		return floor >= late[0].Position
	})
	e.endForGood(t)
}

func testLogForeign[Tx any](e *logEnv[Tx]) {
	t := e.follow("one")
	e.append("a")
	at := e.next(t, 1, 10, 1<<20)[0].End
	e.save(t, at)
	behind := e.lag(t).Bytes
	e.ok(e.log.Foreign(e.ctx, 40<<20))
	if now := e.lag(t).Bytes; now < behind+20<<20 {
		e.Errorf("the lag is %d bytes after 40 MiB of other traffic, and was %d", now, behind)
	}
	e.until("the position moves on", func() bool {
		ctx, cancel := context.WithTimeout(e.ctx, patience)
		defer cancel()
		b, err := t.Next(ctx, 10, 1<<20)
		e.ok(err)
		if len(b.Rows) > 0 {
			e.Fatalf("rows with keys %q came from nowhere", keysOf(b.Rows))
		}
		e.save(t, b.End)
		return e.lag(t).Bytes < 20<<20
	})
	e.append("b")
	e.wantKeys(e.rows(t, 1), "b")
	e.end(t)
	t = e.take("two")
	e.wantKeys(e.rows(t, 1), "b")
	e.endForGood(t)
}

func (e *logEnv[Tx]) lag(t *tail) relay.Lag {
	e.Helper()
	l, err := t.Lag(e.ctx)
	e.ok(err)
	return l
}

func testLogLost[Tx any](e *logEnv[Tx]) {
	t := e.follow("one")
	e.append("a", "b")
	e.save(t, e.next(t, 2, 1, 1<<20)[0].End)
	e.end(t)
	e.append("c")
	e.ok(e.log.Lose(e.ctx))
	t = e.take("two")
	if !t.start.Fresh || t.start.Lost == "" || len(t.start.Position) == 0 {
		e.Fatalf("start after the log was lost: %+v", t.start)
	}
	before, err := t.Before(e.ctx, everything())
	e.ok(err)
	e.wantKeys(before, "a", "b", "c")
	e.save(t, t.start.Position)
	e.nothing(t)
	e.endForGood(t)
}

func testLogTableless[Tx any](e *logEnv[Tx]) {
	t := e.follow("one")
	for name, other := range e.log.Tableless {
		ms := []tidings.Message{message("a"), message("b"), message("")}
		ms[1].Headers = map[string]string{"note": "\"x\" ä\\"}
		ms[1].Payload = []byte{0, '\n', 0xff, '\\'}
		ms[2].Payload = []byte{}
		e.inTx(func(tx Tx) error { return other.Append(e.ctx, tx, ms...) })
		tx, err := e.db.Begin(e.ctx)
		e.ok(err)
		e.ok(other.Append(e.ctx, tx, message("never")))
		e.ok(e.db.Rollback(e.ctx, tx))
		e.append("in the table")
		rows := e.rows(t, 4)
		e.wantKeys(rows, "a", "b", "", "in the table")
		for i, m := range ms {
			if diff := sameMessage(rows[i].Message, m); diff != "" || rows[i].Position != 0 || rows[i].Err != nil {
				e.Errorf("%s: row %d: %s; position %d, error %v", name, i, diff, rows[i].Position, rows[i].Err)
			}
		}
	}
	e.endForGood(t)
}

func testLogSuccessor[Tx any](e *logEnv[Tx]) {
	src := e.log.Log(source)
	t := e.follow("one")
	e.append("a", "b", "c")
	e.save(t, e.next(t, 1, 1, 1<<20)[0].End)
	// The same holder again, as after a restart under the same name: the first
	// one has lost its lease, and still reads.
	second, st, err := src.Acquire(e.ctx, "one", time.Hour)
	e.ok(err)
	l, start, err := src.Tail(e.ctx, second, st)
	e.ok(err)
	successor := &tail{Log: l, session: second, state: st, start: start}
	if start.Fresh {
		e.Fatalf("start of the successor: %+v", start)
	}
	e.wantKeys(e.rows(successor, 2), "b", "c")
	e.wantFenced(t.session)
	// Whatever becomes of the first one, it must not disturb the second.
	_ = t.Close(e.ctx, false)
	_ = t.session.Release(e.ctx)
	e.append("d")
	e.wantKeys(e.rows(successor, 1), "d")
	e.endForGood(successor)
}

func testLogCancel[Tx any](e *logEnv[Tx]) {
	t := e.follow("one")
	ctx, cancel := context.WithCancel(e.ctx)
	ended := make(chan error, 1)
	go func() {
		_, err := t.Next(ctx, 10, 1<<20)
		ended <- err
	}()
	cancel()
	select {
	case err := <-ended:
		if err == nil {
			e.Error("Next returned rows that nobody has committed")
		}
	case <-time.After(patience):
		e.Fatal("Next waits though its context is done")
	}
	// It can be called again.
	e.append("a")
	e.wantKeys(e.rows(t, 1), "a")
	e.endForGood(t)
}

func testLogLag[Tx any](e *logEnv[Tx]) {
	t := e.follow("one")
	m := message("large")
	m.Payload = make([]byte, 1<<20)
	for i := range m.Payload {
		m.Payload[i] = byte(i * 7919 >> 3)
	}
	e.appendMessages(m)
	e.until("the lag shows the row", func() bool { return e.lag(t).Bytes > 1<<19 })
	e.save(t, e.next(t, 1, 10, 1<<20)[0].End)
	// The log has what others write on this server, too.
	e.until("the lag shows that it was saved", func() bool {
		if e.lag(t).Bytes < 1<<19 {
			return true
		}
		e.append("more")
		e.save(t, e.next(t, 1, 10, 1<<20)[0].End)
		return false
	})
	e.endForGood(t)
}
