package timer_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"testing"
	"time"

	"tidings.example"
	"tidings.example/outbox"
	"tidings.example/relay"
	"tidings.example/store/memory"
	"tidings.example/timer"
)

// database is what the tests of delayed messages need of a store.
type database[Tx any] struct {
	timers timer.Store[Tx]
	outbox *outbox.Outbox[Tx]
	relay  relay.Source
}

func TestDelayedInMemory(t *testing.T) {
	t.Parallel()
	testDelayed(t, func(*testing.T) database[*memory.Tx] {
		db := memory.New()
		return database[*memory.Tx]{db.Timers(), db.Outbox(), db.Relay("shop")}
	})
}

// testDelayed is what delayed messages do on every database.
func testDelayed[Tx any](t *testing.T, open func(*testing.T) database[Tx]) {
	for name, test := range map[string]func(*testing.T, database[Tx]){
		"only what was committed": sendsWhatWasCommitted[Tx],
		"cancel":                  cancels[Tx],
		"headers of the sender":   keepsHeaders[Tx],
		"two runners":             sharesBetweenRunners[Tx],
		"rolled back":             survivesRollbacks[Tx],
		"refused":                 refusesWhatIsInvalid[Tx],
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

func reminder(key string) tidings.Message {
	return tidings.Message{Channel: "reminders", Key: key, Type: "Remind", Payload: []byte(`{"of":"payment"}`)}
}

// send sends in a transaction that is committed unless fn fails.
func (db database[Tx]) send(ctx context.Context, due time.Time, ms ...tidings.Message) error {
	return db.timers.InTx(ctx, func(ctx context.Context, tx Tx) error {
		return timer.NewDelayed(db.timers, db.outbox).Send(ctx, tx, due, ms...)
	})
}

// start runs a runner until the test ends.
func (db database[Tx]) start(t *testing.T, now func() time.Time) *timer.Runner {
	t.Helper()
	return run(t, timer.Config{Sources: []timer.Source{timer.NewDelayed(db.timers, db.outbox)},
		Now: now, Poll: 50 * time.Millisecond, Batch: 20})
}

// published returns what is in the outbox.
func (db database[Tx]) published(t *testing.T) []tidings.Message {
	t.Helper()
	session, _, err := db.relay.Acquire(t.Context(), "test", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := session.Release(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	rows, err := session.Read(t.Context(), relay.Query{Limit: 10000, Bytes: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	ms := make([]tidings.Message, len(rows))
	for i := range rows {
		ms[i] = rows[i].Message
	}
	return ms
}

// await waits until so many messages are in the outbox, and returns them.
func (db database[Tx]) await(t *testing.T, n int) []tidings.Message {
	t.Helper()
	limit, ticker := time.After(30*time.Second), time.NewTicker(20*time.Millisecond)
	defer ticker.Stop()
	for {
		ms := db.published(t)
		if len(ms) >= n {
			return ms
		}
		select {
		case <-ticker.C:
		case <-limit:
			t.Fatalf("%d of %d messages were published", len(ms), n)
		}
	}
}

func keys(ms []tidings.Message) []string {
	var keys []string
	for i := range ms {
		keys = append(keys, ms[i].Key)
	}
	return keys
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var errChanged = errors.New("changed my mind")

func sendsWhatWasCommitted[Tx any](t *testing.T, db database[Tx]) {
	c := &clock{}
	d := timer.NewDelayed(db.timers, db.outbox)
	err := db.timers.InTx(t.Context(), func(ctx context.Context, tx Tx) error {
		if err := d.Send(ctx, tx, c.now(), reminder("rolled back")); err != nil {
			return err
		}
		return errChanged
	})
	if !errors.Is(err, errChanged) {
		t.Fatal(err)
	}
	must(t, db.send(t.Context(), c.in(time.Hour), reminder("hour")))
	must(t, db.send(t.Context(), c.in(2*time.Hour), reminder("two hours")))
	must(t, db.send(t.Context(), c.in(-time.Minute), reminder("past 1"), reminder("past 2")))
	must(t, db.send(t.Context(), c.in(-time.Hour), reminder("long past")))
	db.start(t, c.now)
	if got := keys(db.await(t, 3)); !slices.Equal(got, []string{"long past", "past 1", "past 2"}) {
		t.Errorf("published %q", got)
	}
	before := c.now()
	c.jump(time.Hour)
	ms := db.await(t, 4)
	if got := keys(ms); got[3] != "hour" || len(got) != 4 {
		t.Errorf("published %q", got)
	}
	// It is as old as its place in the outbox.
	if at := ms[3].Time; at.Before(before.Add(time.Hour).Truncate(time.Microsecond)) {
		t.Errorf("the message's time is %s, and it was due at %s", at, before.Add(time.Hour))
	}
	c.jump(time.Hour)
	if got := keys(db.await(t, 5)); got[4] != "two hours" {
		t.Errorf("published %q", got)
	}
}

func cancels[Tx any](t *testing.T, db database[Tx]) {
	d := timer.NewDelayed(db.timers, db.outbox)
	ms := []tidings.Message{reminder("kept"), reminder("cancelled"), reminder("almost")}
	must(t, db.send(t.Context(), time.Now().Add(-time.Second), ms...))
	for _, step := range []struct {
		id   string
		fail error
		want bool
	}{{ms[1].ID, nil, true}, {ms[1].ID, nil, false}, {ms[2].ID, errChanged, true}, {"unknown", nil, false}} {
		err := db.timers.InTx(t.Context(), func(ctx context.Context, tx Tx) error {
			there, err := d.Cancel(ctx, tx, step.id)
			if err == nil && there != step.want {
				t.Errorf("cancelling %q returned %t", step.id, there)
			}
			return errors.Join(err, step.fail)
		})
		if step.fail == nil {
			must(t, err)
		}
	}
	db.start(t, nil)
	if got := keys(db.await(t, 2)); !slices.Equal(got, []string{"kept", "almost"}) {
		t.Errorf("published %q", got)
	}
	must(t, db.timers.InTx(t.Context(), func(ctx context.Context, tx Tx) error {
		there, err := d.Cancel(ctx, tx, ms[0].ID)
		if there {
			t.Error("cancelled what was published")
		}
		return err
	}))
}

// What is published later belongs to what it was sent for.
func keepsHeaders[Tx any](t *testing.T, db database[Tx]) {
	cause := &tidings.Message{ID: "payment-due", Headers: tidings.Headers{
		tidings.HeaderCorrelationID: "request-1", tidings.HeaderTraceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}}
	m := reminder("a")
	m.ID, m.Subject, m.ContentType, m.Headers = "reminder-1", "a payment", "text/plain", tidings.Headers{"tenant": "t1"}
	must(t, db.send(tidings.WithCause(t.Context(), cause), time.Now(), m))
	db.start(t, nil)
	got := db.await(t, 1)[0]
	want := tidings.Headers{"tenant": "t1", tidings.HeaderCausationID: "payment-due", tidings.HeaderCorrelationID: "request-1",
		tidings.HeaderTraceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
	if !maps.Equal(got.Headers, want) || got.ID != m.ID || got.Subject != m.Subject || got.ContentType != m.ContentType ||
		got.Channel != m.Channel || got.Type != m.Type || string(got.Payload) != string(m.Payload) {
		t.Errorf("published %+v", got)
	}
}

func sharesBetweenRunners[Tx any](t *testing.T, db database[Tx]) {
	const n, each = 30, 20
	runners := []*timer.Runner{db.start(t, nil), db.start(t, nil)}
	want := map[string]bool{}
	for i := range n {
		ms := make([]tidings.Message, each)
		for j := range ms {
			ms[j] = reminder(strconv.Itoa(i))
		}
		must(t, db.send(t.Context(), time.Now().Add(time.Duration(i)*20*time.Millisecond), ms...))
		for j := range ms {
			want[ms[j].ID] = true
		}
		runners[i%2].Wake()
	}
	db.await(t, n*each)
	// A second copy would come soon after the first.
	must(t, db.send(t.Context(), time.Now().Add(100*time.Millisecond), reminder("last")))
	for _, m := range db.await(t, n*each+1) {
		if m.Key != "last" && !want[m.ID] {
			t.Errorf("message %s of key %s was published twice", m.ID, m.Key)
		}
		delete(want, m.ID)
	}
	if len(want) > 0 {
		t.Errorf("%d messages were not published", len(want))
	}
}

// failing makes transactions fail after they have taken messages, some before
// the append and some at the end.
type failing[Tx any] struct {
	timer.Store[Tx]
	left int
}

var errLost = errors.New("connection lost")

func (s *failing[Tx]) InTx(ctx context.Context, fn func(context.Context, Tx) error) error {
	return s.Store.InTx(ctx, func(ctx context.Context, tx Tx) error {
		if err := fn(ctx, tx); err != nil {
			return err
		}
		return s.fail()
	})
}

func (s *failing[Tx]) Take(ctx context.Context, tx Tx, now time.Time, limit int) ([]tidings.Message, error) {
	ms, err := s.Store.Take(ctx, tx, now, limit)
	if err == nil && len(ms) > 0 && s.left%2 == 0 {
		err = s.fail()
	}
	return ms, err
}

func (s *failing[Tx]) fail() error {
	if s.left == 0 {
		return nil
	}
	s.left--
	return errLost
}

func (s *failing[Tx]) Transient(err error) bool {
	return errors.Is(err, errLost) || s.Store.Transient(err)
}

// A transaction that is rolled back between the take and the commit loses and doubles nothing.
func survivesRollbacks[Tx any](t *testing.T, db database[Tx]) {
	var want []string
	for i := range 50 {
		want = append(want, strconv.Itoa(i))
		must(t, db.send(t.Context(), time.Now().Add(-time.Minute), reminder(want[i])))
	}
	lossy := &failing[Tx]{Store: db.timers, left: 4}
	r := run(t, timer.Config{Sources: []timer.Source{timer.NewDelayed(lossy, db.outbox)}, Batch: 20, Concurrency: 1})
	ms := db.await(t, 50)
	if got := keys(ms); !slices.Equal(got, want) {
		t.Errorf("published %q", got)
	}
	if stats := r.Stats()[0]; stats.Failures != 4 || stats.Fired > 50 {
		t.Errorf("stats: %+v", stats)
	}
}

func refusesWhatIsInvalid[Tx any](t *testing.T, db database[Tx]) {
	nowhere := reminder("a")
	nowhere.Channel = ""
	for want, send := range map[string]func() error{
		"send delayed: invalid message: channel is empty":                                                func() error { return db.send(t.Context(), time.Now(), nowhere) },
		"send delayed: invalid message: due 0001-01-01T00:00:00Z is not between the years 1970 and 9999": func() error { return db.send(t.Context(), time.Time{}, reminder("a")) },
	} {
		if err := send(); !errors.Is(err, tidings.ErrInvalid) || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	must(t, db.send(t.Context(), time.Now()))
	if _, ok, err := db.timers.Next(t.Context()); ok || err != nil {
		t.Errorf("something is stored, or %v", err)
	}
}

// A message that the outbox does not take any more is reported, and does not end the service.
func TestNarrowerOutbox(t *testing.T) {
	t.Parallel()
	db := memory.New()
	wide := database[*memory.Tx]{db.Timers(), db.Outbox(), db.Relay("shop")}
	large := reminder("large")
	large.Payload = make([]byte, 2000)
	must(t, wide.send(t.Context(), time.Now(), large))
	narrow := timer.NewDelayed(db.Timers(), outbox.New[*memory.Tx](refusing{}, 1000))
	_, err := narrow.Fire(t.Context(), time.Now(), 10)
	if !errors.Is(err, tidings.ErrInvalid) || !narrow.Transient(err) {
		t.Errorf("Fire returned %v, transient: %t", err, narrow.Transient(err))
	}
	wide.start(t, nil)
	wide.await(t, 1)
}

type refusing struct{}

func (refusing) Insert(context.Context, *memory.Tx, []tidings.Message) error {
	return fmt.Errorf("must not be called")
}
