package storetest

import (
	"context"
	"slices"
	"sync"
	"time"

	"tidings.example/relay"
)

func waitTests[Tx any]() []testCase[Tx] {
	return []testCase[Tx]{
		{name: "an append wakes at once", run: testWaitWakes[Tx]},
		{name: "an append during the work is not missed", run: testWaitBetween[Tx]},
		{name: "no append, no busy loop", run: testWaitIdle[Tx]},
		{name: "a done context ends it and nothing else", run: testWaitDone[Tx]},
		{name: "an open transaction does not delay others", run: testWaitBesideOpen[Tx], twoWriters: true},
		{name: "many appenders and a reader", run: testWaitBusy[Tx]},
	}
}

// next waits and reads as a relay does until there is a row above after.
func (e *env[Tx]) next(s relay.Session, after int64) []relay.Row {
	e.Helper()
	deadline := time.Now().Add(patience)
	for {
		rows := e.read(s, queryAbove(after))
		if len(rows) > 0 {
			return rows
		}
		if time.Now().After(deadline) {
			e.Fatalf("no row within %s", patience)
		}
		e.ok(s.Wait(e.ctx, patience))
	}
}

func testWaitWakes[Tx any](e *env[Tx]) {
	s := e.session()
	var took []time.Duration
	var after int64
	for range 20 {
		// Let it fall asleep.
		e.ok(s.Wait(e.ctx, 50*time.Millisecond))
		e.read(s, queryAbove(after))
		appended := make(chan time.Time, 1)
		go func() {
			e.pass(150 * time.Millisecond)
			e.appendBeside("k")
			appended <- time.Now()
		}()
		rows := e.next(s, after)
		seen := time.Now()
		took = append(took, max(seen.Sub(<-appended), 0))
		after = rows[len(rows)-1].Position
		e.commit(s, relay.Change{Done: positionsOf(rows)})
	}
	slices.Sort(took)
	e.Logf("from commit to read: median %s, worst %s", took[len(took)/2], took[len(took)-1])
	if took[len(took)/2] > 50*time.Millisecond {
		e.Errorf("the median from commit to read is %s", took[len(took)/2])
	}
}

func testWaitBetween[Tx any](e *env[Tx]) {
	s := e.session()
	var after int64
	// The append falls into every moment of reading, falling asleep and waking.
	for i := range 60 {
		done := make(chan struct{})
		go func() {
			defer close(done)
			e.pass(time.Duration(i) * 2 * time.Millisecond)
			e.appendBeside("k")
		}()
		begin := time.Now()
		rows := e.next(s, after)
		if late := time.Since(begin) - time.Duration(i)*2*time.Millisecond; late > 2*time.Second {
			e.Fatalf("append %d was read %s late", i, late)
		}
		<-done
		after = rows[len(rows)-1].Position
	}
}

func testWaitIdle[Tx any](e *env[Tx]) {
	s := e.session()
	e.append("k")
	rows := e.next(s, 0)
	after := rows[0].Position
	begin := time.Now()
	for time.Since(begin) < 300*time.Millisecond { // calm down
		e.ok(s.Wait(e.ctx, 300*time.Millisecond-time.Since(begin)))
		e.read(s, queryAbove(after))
	}
	returned := 0
	for begin = time.Now(); time.Since(begin) < time.Second; returned++ {
		e.ok(s.Wait(e.ctx, time.Second-time.Since(begin)+time.Millisecond))
		e.read(s, queryAbove(after))
	}
	if returned > 60 {
		e.Errorf("returned %d times within a second in which nothing happened", returned)
	}
	if late := time.Since(begin); late > 3*time.Second {
		e.Errorf("an idle of one second took %s", late)
	}
}

func testWaitDone[Tx any](e *env[Tx]) {
	s := e.session()
	e.append("k")
	rows := e.next(s, 0)
	for i := range 10 {
		ctx, cancel := context.WithCancel(e.ctx)
		var wait sync.WaitGroup
		wait.Go(func() {
			e.pass(time.Duration(i) * 20 * time.Millisecond)
			cancel()
		})
		begin := time.Now()
		for ctx.Err() == nil {
			_ = s.Wait(ctx, time.Minute) // its own error is as good as none
		}
		if took := time.Since(begin); took > 5*time.Second {
			e.Errorf("ended after %s", took)
		}
		wait.Wait()
		_ = s.Wait(ctx, time.Minute)
		e.read(s, everything())
	}
	e.commit(s, relay.Change{Done: positionsOf(rows)})
	if _, err := s.Renew(e.ctx); err != nil {
		e.Error(err)
	}
	e.append("l")
	e.wantKeys(e.next(s, rows[0].Position), "l")
}

func testWaitBesideOpen[Tx any](e *env[Tx]) {
	s := e.session()
	after := int64(0)
	for range 5 {
		open, err := e.db.Begin(e.ctx)
		e.ok(err)
		e.appendNow(open, "open")
		begin := time.Now()
		e.append("k")
		rows := e.next(s, after)
		e.wantKeys(rows, "k")
		if took := time.Since(begin); took > 2*time.Second {
			e.Errorf("took %s beside an open transaction", took)
		}
		at := rows[0].Position
		e.ok(e.db.Commit(e.ctx, open))
		begin = time.Now()
		for {
			if rows := e.read(s, queryRanges(after+1, at-1)); len(rows) > 0 {
				e.wantKeys(rows, "open")
				break
			}
			e.ok(s.Wait(e.ctx, patience))
		}
		if took := time.Since(begin); took > 2*time.Second {
			e.Errorf("the open transaction's row took %s after its commit", took)
		}
		after = at
	}
}

func testWaitBusy[Tx any](e *env[Tx]) {
	const appenders, each = 4, 50
	s := e.session()
	var wait sync.WaitGroup
	for range appenders {
		wait.Go(func() {
			for i := range each {
				e.appendBeside("k")
				if i%10 == 9 {
					e.pass(30 * time.Millisecond)
				}
			}
		})
	}
	seen := 0
	deadline := time.Now().Add(patience)
	for seen < appenders*each {
		rows := e.read(s, everything())
		seen += len(rows)
		if len(rows) > 0 {
			e.commit(s, relay.Change{Done: positionsOf(rows)})
			continue
		}
		if time.Now().After(deadline) {
			e.Fatalf("%d of %d rows within %s", seen, appenders*each, patience)
		}
		begin := time.Now()
		e.ok(s.Wait(e.ctx, patience))
		if slept := time.Since(begin); slept > 2*time.Second {
			e.Errorf("slept %s while rows were appended", slept)
		}
	}
	wait.Wait()
}
