package storetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"tidings.example"
)

func timerTests[Tx any]() []testCase[Tx] {
	return []testCase[Tx]{
		{name: "a delayed message comes back whole", run: testTimerWhole[Tx]},
		{name: "messages are taken in the order of their times", run: testTimerOrder[Tx]},
		{name: "many are stored at once", run: testTimerMany[Tx]},
		{name: "a message is cancelled", run: testTimerCancel[Tx]},
		{name: "ids are unique", run: testTimerUnique[Tx]},
		{name: "a roll-back leaves things as they were", run: testTimerRollBack[Tx]},
		{name: "what another transaction takes is left out", run: testTimerSkips[Tx], twoWriters: true},
		{name: "each message is taken once", run: testTimerRace[Tx]},
	}
}

// complete is a message that is ready to be appended.
func complete(id string) tidings.Message {
	m := message("k")
	m.ID, m.ContentType, m.Time = id, "application/json", at(0)
	return m
}

// fullMessage has something in every field.
func fullMessage(id string) tidings.Message {
	m := complete(id)
	m.Source, m.Subject, m.ContentType = source, "Betreff", "application/octet-stream"
	m.Headers = tidings.Headers{"tenant": "ä\"b\\c'", "empty": ""}
	m.Payload = []byte{0, 1, 0xff, '\'', '?'}
	m.Stamp = tidings.Stamp{Epoch: "one", Lane: 959, Sequence: 1 << 60}
	return m
}

func bareMessage(id string) tidings.Message {
	return tidings.Message{ID: id, Channel: "orders", Type: "T", ContentType: "application/json", Time: at(0)}
}

func (e *env[Tx]) delay(due time.Time, ms ...tidings.Message) {
	e.Helper()
	e.inTx(func(tx Tx) error { return e.db.Timers.Delay(e.ctx, tx, due, ms) })
}

func (e *env[Tx]) take(now time.Time, limit int) (ms []tidings.Message) {
	e.Helper()
	e.ok(e.db.Timers.InTx(e.ctx, func(ctx context.Context, tx Tx) (err error) {
		ms, err = e.db.Timers.Take(ctx, tx, now, limit)
		return err
	}))
	return ms
}

func messageIDs(ms []tidings.Message) string {
	ids := make([]string, len(ms))
	for i, m := range ms {
		ids[i] = m.ID
	}
	return strings.Join(ids, " ")
}

func (e *env[Tx]) wantNext(want time.Time) {
	e.Helper()
	got, ok, err := e.db.Timers.Next(e.ctx)
	if err != nil || ok != !want.IsZero() || !got.Equal(want) {
		e.Errorf("next: %s, %v, %v; want %s", got, ok, err, want)
	}
}

func testTimerWhole[Tx any](e *env[Tx]) {
	want := []tidings.Message{fullMessage("full"), bareMessage("bare"), complete("plain")}
	e.delay(at(1), want...)
	got := e.take(at(1), 10)
	if len(got) != len(want) {
		e.Fatalf("took %q", messageIDs(got))
	}
	for i := range want {
		if diff := sameMessage(got[i], want[i]); diff != "" {
			e.Error(diff)
		}
	}
	if again := e.take(at(1000), 10); len(again) != 0 {
		e.Errorf("taken again: %q", messageIDs(again))
	}
}

func testTimerOrder[Tx any](e *env[Tx]) {
	e.wantNext(time.Time{})
	e.delay(at(20), complete("c"), complete("b"))
	e.delay(at(10), complete("z"))
	e.delay(at(30), complete("0"))
	e.delay(at(20), complete("a"))
	e.wantNext(at(10))
	for _, step := range []struct {
		now   time.Time
		limit int
		want  string
		next  time.Time
	}{
		{at(10).Add(-time.Microsecond), 10, "", at(10)},
		{at(10), 10, "z", at(20)},
		{at(25), 2, "c b", at(20)},
		{at(25), 2, "a", at(30)},
		{at(25), 2, "", at(30)},
		{at(1000), 10, "0", time.Time{}},
	} {
		if got := messageIDs(e.take(step.now, step.limit)); got != step.want {
			e.Errorf("at %s: %q, want %q", step.now, got, step.want)
		}
		e.wantNext(step.next)
	}
}

func testTimerMany[Tx any](e *env[Tx]) {
	var ms []tidings.Message
	for i := range 1100 {
		ms = append(ms, complete(fmt.Sprintf("%04d", i)))
	}
	for i := range 3 {
		m := complete(fmt.Sprintf("big%d", i))
		m.Payload = make([]byte, 1<<20)
		ms = append(ms, m)
	}
	e.delay(at(1), ms...)
	if got, want := messageIDs(e.take(at(1), 5000)), messageIDs(ms); got != want {
		e.Errorf("took %.200q (%d bytes), want %d bytes", got, len(got), len(want))
	}
}

func testTimerCancel[Tx any](e *env[Tx]) {
	e.delay(at(1), complete("a"), complete("b"), complete("B"))
	for _, c := range []struct {
		id   string
		want bool
	}{{"a", true}, {"a", false}, {"missing", false}, {"B", true}} {
		e.inTx(func(tx Tx) error {
			got, err := e.db.Timers.Cancel(e.ctx, tx, c.id)
			if got != c.want {
				e.Errorf("cancel %q: %v", c.id, got)
			}
			return err
		})
	}
	if got := messageIDs(e.take(at(1), 10)); got != "b" {
		e.Errorf("took %q", got)
	}
	e.inTx(func(tx Tx) error {
		if got, err := e.db.Timers.Cancel(e.ctx, tx, "b"); got || err != nil {
			e.Errorf("cancel what was taken: %v, %v", got, err)
		}
		return nil
	})
	// Delayed and cancelled in one transaction.
	e.inTx(func(tx Tx) error {
		if err := e.db.Timers.Delay(e.ctx, tx, at(1), []tidings.Message{complete("c")}); err != nil {
			return err
		}
		if got, err := e.db.Timers.Cancel(e.ctx, tx, "c"); !got || err != nil {
			e.Errorf("cancel in the same transaction: %v, %v", got, err)
		}
		return nil
	})
	e.wantNext(time.Time{})
}

func testTimerUnique[Tx any](e *env[Tx]) {
	e.delay(at(1), complete("a"))
	if err := e.tryTx(func(tx Tx) error { return e.db.Timers.Delay(e.ctx, tx, at(2), []tidings.Message{complete("a")}) }); err == nil {
		e.Error("the same id is taken twice")
	}
	if got := messageIDs(e.take(at(5), 10)); got != "a" {
		e.Errorf("took %q", got)
	}
	e.delay(at(1), complete("a"))
}

func testTimerRollBack[Tx any](e *env[Tx]) {
	e.delay(at(1), complete("a"), complete("b"))
	stop := errors.New("stop")
	for _, fn := range []func(ctx context.Context, tx Tx) error{
		func(ctx context.Context, tx Tx) error {
			_, err := e.db.Timers.Take(ctx, tx, at(5), 10)
			return err
		},
		func(ctx context.Context, tx Tx) error {
			_, err := e.db.Timers.Cancel(ctx, tx, "a")
			return err
		},
		func(ctx context.Context, tx Tx) error {
			return e.db.Timers.Delay(ctx, tx, at(0), []tidings.Message{complete("c")})
		},
	} {
		err := e.db.Timers.InTx(e.ctx, func(ctx context.Context, tx Tx) error { return errors.Join(fn(ctx, tx), stop) })
		if err == nil || err.Error() != "stop" {
			e.Fatal(err)
		}
	}
	e.wantNext(at(1))
	if got := messageIDs(e.take(at(5), 10)); got != "a b" {
		e.Errorf("took %q", got)
	}
}
