package storetest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"tidings.example"
	"tidings.example/outbox"
	"tidings.example/relay"
)

// A LogHarness makes databases for the tests of a store whose outbox can be
// read from its database's commit log.
type LogHarness[Tx any] struct {
	// Open returns a new database with its tables. It is removed after the test,
	// with all that its server keeps for it.
	Open func(t *testing.T) LogDB[Tx]
}

// A LogDB is one database with a log.
type LogDB[Tx any] struct {
	DB[Tx]
	Log func(source string) relay.LogSource
	// Tableless are other ways to append to the same outbox, whose rows are
	// never in the table; by name.
	Tableless map[string]*outbox.Outbox[Tx]
	// Foreign commits changes that are none of the outbox's, until the log has
	// grown by about so many bytes.
	Foreign func(ctx context.Context, bytes int) error
	// Lose makes the server forget the log that a relay which was closed would
	// continue with.
	Lose func(ctx context.Context) error
}

// RunLog runs all tests of a log.
func RunLog[Tx any](t *testing.T, h LogHarness[Tx]) {
	t.Helper()
	for _, test := range []struct {
		name string
		run  func(e *logEnv[Tx])
	}{
		{"a fresh start divides the rows into those before and those that follow", testLogFresh[Tx]},
		{"while many append, each row is before the start or follows it", testLogFreshBeside[Tx]},
		{"rows come in the order of commits", testLogOrder[Tx]},
		{"what is rolled back never comes", testLogRollback[Tx]},
		{"messages arrive as they were appended", testLogMessages[Tx]},
		{"batches keep their limits", testLogLimits[Tx]},
		{"from every position the same rows follow", testLogResume[Tx]},
		{"a confirmed checkpoint is where the next relay goes on", testLogCheckpoint[Tx]},
		{"what is not confirmed comes again", testLogUnconfirmed[Tx]},
		{"no row comes at or below a floor", testLogFloor[Tx]},
		{"other traffic moves the position", testLogForeign[Tx]},
		{"a lost position is reported, and the table is there", testLogLost[Tx]},
		{"a row that was never in the table has no position", testLogTableless[Tx]},
		{"a fenced reader's successor reads on", testLogSuccessor[Tx]},
		{"the end of the context ends the wait", testLogCancel[Tx]},
		{"the lag grows and shrinks", testLogLag[Tx]},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			db := h.Open(t)
			test.run(&logEnv[Tx]{env: newEnv(t, db.DB), log: db})
		})
	}
}

type logEnv[Tx any] struct {
	*env[Tx]
	log LogDB[Tx]
}

// A tail is an open log with the session that it belongs to.
type tail struct {
	relay.Log
	session relay.Session
	state   relay.State
	start   relay.Start
}

// take takes the lease as a holder and opens the log behind what was saved.
func (e *logEnv[Tx]) take(holder string) *tail {
	e.Helper()
	return e.takeAt(holder, nil)
}

// takeAt opens the log at another position than the saved one.
func (e *logEnv[Tx]) takeAt(holder string, position []byte) *tail {
	e.Helper()
	src := e.log.Log(source)
	s, st, err := src.Acquire(e.ctx, holder, time.Hour)
	e.ok(err)
	if position != nil {
		st.Log.Position = position
	}
	l, start, err := src.Tail(e.ctx, s, st)
	if err != nil {
		_ = s.Release(e.ctx)
		e.Fatal(err)
	}
	return &tail{Log: l, session: s, state: st, start: start}
}

// follow begins with a fresh start, and saves its checkpoint.
func (e *logEnv[Tx]) follow(holder string) *tail {
	e.Helper()
	t := e.take(holder)
	if !t.start.Fresh || len(t.start.Position) == 0 {
		e.Fatalf("the first start is %+v, want a fresh one", t.start)
	}
	e.save(t, t.start.Position)
	return t
}

// save commits a checkpoint, and confirms it.
func (e *logEnv[Tx]) save(t *tail, position []byte) {
	e.Helper()
	c := relay.Checkpoint{Position: position}
	e.commit(t.session, relay.Change{Log: &c, Reading: relay.FromLog})
	t.Confirm(c)
}

// end closes a tail as a relay that stops does.
func (e *logEnv[Tx]) end(t *tail) {
	e.Helper()
	e.ok(t.Close(e.ctx, false))
	e.ok(t.session.Release(e.ctx))
}

// endForGood also gives up what the server keeps.
func (e *logEnv[Tx]) endForGood(t *tail) {
	e.Helper()
	e.ok(t.Close(e.ctx, true))
	e.ok(t.session.Release(e.ctx))
}

// next reads until n rows have come, and returns the batches.
func (e *logEnv[Tx]) next(t *tail, n, limit, bytes int) []relay.LogBatch {
	e.Helper()
	var all []relay.LogBatch
	for got := 0; got < n; {
		ctx, cancel := context.WithTimeout(e.ctx, patience)
		b, err := t.Next(ctx, limit, bytes)
		cancel()
		if err != nil {
			e.Fatalf("after %d of %d rows: %v", got, n, err)
		}
		if len(b.End) == 0 {
			e.Fatalf("a batch of %d rows has no position", len(b.Rows))
		}
		got += len(b.Rows)
		all = append(all, b)
		if got > n {
			e.Fatalf("%d rows came where %d were committed", got, n)
		}
	}
	return all
}

// rows reads n rows.
func (e *logEnv[Tx]) rows(t *tail, n int) []relay.Row {
	e.Helper()
	return rowsOf(e.next(t, n, 1000, 1<<20))
}

func rowsOf(batches []relay.LogBatch) []relay.Row {
	var all []relay.Row
	for _, b := range batches {
		all = append(all, b.Rows...)
	}
	return all
}

// nothing checks that no row is left: the row of a marker is the next one.
func (e *logEnv[Tx]) nothing(t *tail) {
	e.Helper()
	e.append("marker")
	e.wantKeys(e.rows(t, 1), "marker")
}

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
	e.until("the lag shows that it was saved", func() bool { return e.lag(t).Bytes < 1<<19 })
	e.endForGood(t)
}
