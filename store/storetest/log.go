package storetest

import (
	"context"
	"testing"
	"time"

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
