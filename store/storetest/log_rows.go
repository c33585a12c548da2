package storetest

import (
	"fmt"
	"slices"
	"sync"

	"tidings.example"
	"tidings.example/relay"
)

func testLogFresh[Tx any](e *logEnv[Tx]) {
	e.append("a", "b")
	e.append("c")
	t := e.take("one")
	if !t.start.Fresh || len(t.start.Position) == 0 || t.start.Lost != "" {
		e.Fatalf("start: %+v", t.start)
	}
	e.append("d")
	before, err := t.Before(e.ctx, everything())
	e.ok(err)
	e.wantKeys(before, "a", "b", "c")
	some, err := t.Before(e.ctx, relay.Query{After: before[0].Position, Limit: 1, Bytes: 1 << 20})
	e.ok(err)
	e.wantKeys(some, "b")
	e.wantKeys(e.rows(t, 1), "d")
	e.append("e")
	e.wantKeys(e.rows(t, 1), "e")
	e.end(t)

	// No checkpoint was saved: the next start is fresh again, with all rows.
	t = e.take("two")
	if !t.start.Fresh {
		e.Fatalf("start without a checkpoint: %+v", t.start)
	}
	before, err = t.Before(e.ctx, everything())
	e.ok(err)
	e.wantKeys(before, "a", "b", "c", "d", "e")
	e.nothing(t)
	e.endForGood(t)
}

func testLogFreshBeside[Tx any](e *logEnv[Tx]) {
	const appenders, each = 4, 60
	var wait sync.WaitGroup
	begun := make(chan struct{}, appenders*each)
	for a := range appenders {
		wait.Go(func() {
			for i := range each {
				e.appendBeside(fmt.Sprintf("%d-%d", a, i))
				begun <- struct{}{}
			}
		})
	}
	for range appenders * each / 4 {
		<-begun
	}
	t := e.take("one")
	before, err := t.Before(e.ctx, everything())
	e.ok(err)
	follow := e.rows(t, appenders*each-len(before))
	wait.Wait()
	seen := map[string]int{}
	for _, key := range append(keysOf(before), keysOf(follow)...) {
		seen[key]++
	}
	for key, n := range seen {
		if n != 1 {
			e.Errorf("row %s came %d times", key, n)
		}
	}
	if len(seen) != appenders*each {
		e.Errorf("%d rows came, %d before the start; %d were committed", len(seen), len(before), appenders*each)
	}
	e.nothing(t)
	e.endForGood(t)
}

func testLogOrder[Tx any](e *logEnv[Tx]) {
	t := e.follow("one")
	first, err := e.db.Begin(e.ctx)
	e.ok(err)
	e.appendNow(first, "first appended")
	e.append("second appended")
	e.ok(e.db.Outbox.Append(e.ctx, first, message("with the first")))
	e.ok(e.db.Commit(e.ctx, first))
	e.append("last")
	rows := e.rows(t, 4)
	e.wantKeys(rows, "second appended", "first appended", "with the first", "last")
	if rows[0].Position <= rows[1].Position {
		e.Errorf("positions are %v: the first appended row had none before its commit", positionsOf(rows))
	}
	e.endForGood(t)
}

func testLogRollback[Tx any](e *logEnv[Tx]) {
	t := e.follow("one")
	tx, err := e.db.Begin(e.ctx)
	e.ok(err)
	e.appendNow(tx, "never")
	e.append("a")
	e.ok(e.db.Rollback(e.ctx, tx))
	e.append("b")
	e.wantKeys(e.rows(t, 2), "a", "b")
	e.nothing(t)
	e.endForGood(t)
}

func testLogMessages[Tx any](e *logEnv[Tx]) {
	t := e.follow("one")
	full := tidings.Message{Channel: "orders", Key: "Zürich 'x' \"y\" \\ 日本", Type: "OrderCreated", Subject: "a subject",
		ContentType: "application/octet-stream", Headers: map[string]string{"traceparent": "00-1-2-03", "note": "ä\"\\"},
		Payload: []byte{0, 1, 2, 0xff, '\\', '\'', 0}}
	bare := tidings.Message{Channel: "orders", Type: "Nothing", Payload: []byte{}}
	large := message("large")
	large.Payload = slices.Repeat([]byte("0123456789abcdef"), 1<<16)
	ms := []tidings.Message{full, bare, large}
	e.appendMessages(ms...)
	got := e.rows(t, len(ms))
	e.wantRows(got, ms)
	// What the log says is what the table says.
	e.wantRows(e.read(t.session, everything()), ms)
	for i, r := range e.read(t.session, everything()) {
		if r.Position != got[i].Position {
			e.Errorf("row %d has position %d in the log and %d in the table", i, got[i].Position, r.Position)
		}
	}
	e.endForGood(t)
}

func testLogLimits[Tx any](e *logEnv[Tx]) {
	t := e.follow("one")
	var ms []tidings.Message
	for i := range 50 {
		m := message(fmt.Sprint(i))
		m.Payload = make([]byte, 1000)
		ms = append(ms, m)
	}
	e.appendMessages(ms...)
	batches := e.next(t, 50, 7, 1<<20)
	for _, b := range batches {
		if len(b.Rows) > 7 {
			e.Errorf("a batch has %d rows, 7 were the limit", len(b.Rows))
		}
	}
	e.wantRows(rowsOf(batches), ms)
	e.appendMessages(ms[:20]...) // the ids do not matter here
	for _, b := range e.next(t, 20, 1000, 2500) {
		if len(b.Rows) > 3 {
			e.Errorf("a batch has %d rows of 1,000 bytes, 2,500 bytes were the limit", len(b.Rows))
		}
	}
	e.endForGood(t)
}
