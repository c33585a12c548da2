package eventtest_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"tidings.example/event"
	"tidings.example/event/eventtest"
	"tidings.example/inbox"
	"tidings.example/store/memory"
)

// spy is a test that is expected to fail.
type spy struct {
	testing.TB
	failures []string
	cleanups []func()
}

func (s *spy) Helper()          {}
func (s *spy) Cleanup(f func()) { s.cleanups = append(s.cleanups, f) }
func (s *spy) Errorf(format string, args ...any) {
	s.failures = append(s.failures, fmt.Sprintf(format, args...))
}
func (s *spy) Fatal(args ...any)                 { s.end(fmt.Sprint(args...)) }
func (s *spy) Fatalf(format string, args ...any) { s.end(fmt.Sprintf(format, args...)) }

type ended struct{}

func (s *spy) end(why string) {
	s.failures = append(s.failures, why)
	panic(ended{})
}

// failures runs a test to its end and returns how it failed.
func failures(t *testing.T, test func(c *eventtest.Case[*memory.Tx], db *memory.DB)) []string {
	s := &spy{TB: t}
	db := memory.New()
	func() {
		defer func() {
			if value := recover(); value != nil && value != (ended{}) {
				panic(value)
			}
		}()
		test(eventtest.New(s, db), db)
	}()
	for _, f := range s.cleanups {
		f()
	}
	return s.failures
}

// Ordered does what a test tells it to.
type Ordered struct{ Do string }

func (Ordered) EventType() string { return "Ordered" }

// Ignored has no handler.
type Ignored struct{}

func (Ignored) EventType() string { return "Ignored" }

// obedient handles Ordered, and counts the calls outside the transaction.
func obedient(c *eventtest.Case[*memory.Tx], calls *int) *event.Subscriber[*memory.Tx] {
	publisher := event.NewPublisher(Orders, c.Outbox())
	sub := event.NewSubscriber[*memory.Tx]("obedient")
	event.On(sub, Orders, func(ctx context.Context, tx *memory.Tx, e event.Of[Ordered]) error {
		*calls++
		n, err := tx.Get(ctx, "handled")
		if err == nil {
			err = tx.Put(ctx, "handled", n+"|")
		}
		if err == nil {
			err = publisher.Publish(ctx, tx, e.AggregateID, Ordered{"published on " + e.Data.Do})
		}
		switch e.Data.Do {
		case "permanent":
			err = inbox.Permanent(errors.New("is wrong"))
		case "transient":
			err = inbox.Transient(errors.New("is away"))
		case "error":
			err = errors.New("is odd")
		case "panic":
			panic("is broken")
		}
		return err
	})
	return sub
}

func order(what string) eventtest.Sent { return eventtest.Of(Orders, "7", Ordered{what}) }

func TestReportsWhatIsWrong(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		do   func(c *eventtest.Case[*memory.Tx])
		want string
	}{
		"nobody looks at the error": {func(c *eventtest.Case[*memory.Tx]) { c.When(order("permanent")) }, "is wrong (permanent)"},
		"a then behind an error":    {func(c *eventtest.Case[*memory.Tx]) { c.When(order("error")).ThenNothing() }, "is odd (limited)"},
		"given fails":               {func(c *eventtest.Case[*memory.Tx]) { c.Given(order("error")) }, "given orders Ordered of Order"},
		"another class":             {func(c *eventtest.Case[*memory.Tx]) { c.When(order("panic")); c.ThenFails(eventtest.Transient) }, "is limited, want transient: handler panicked: is broken"},
		"no error":                  {func(c *eventtest.Case[*memory.Tx]) { c.When(order("x")); c.ThenFails(eventtest.Limited) }, "want one that is limited"},
		"nothing wanted":            {func(c *eventtest.Case[*memory.Tx]) { c.When(order("x")).ThenNothing() }, "want:\n  nothing"},
		"other event wanted":        {func(c *eventtest.Case[*memory.Tx]) { c.When(order("x")).ThenPublished(order("y")) }, `want:` + "\n" + `  orders Ordered of Order "7": {"Do":"y"}`},
		"one more wanted": {func(c *eventtest.Case[*memory.Tx]) {
			c.When(order("x")).ThenPublished(order("published on x"), order("published on x"))
		}, "want:"},
		"nobody handles it": {func(c *eventtest.Case[*memory.Tx]) { c.When(eventtest.Of(Orders, "7", Ignored{})) }, "has no handler"},
		"fewer ignored":     {func(c *eventtest.Case[*memory.Tx]) { c.When(order("x")).ThenIgnored(1) }, "0 events have no handler, want 1"},
		"no aggregate id":   {func(c *eventtest.Case[*memory.Tx]) { c.When(eventtest.Of(Orders, "", Ordered{})) }, "id is empty"},
		"do fails": {func(c *eventtest.Case[*memory.Tx]) {
			c.Do(func(context.Context, *memory.Tx) error { return errors.New("no") })
		}, "Do: no (limited)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			calls := 0
			got := failures(t, func(c *eventtest.Case[*memory.Tx], _ *memory.DB) {
				test.do(c.Subscriber(obedient(c, &calls)))
			})
			if len(got) != 1 || !strings.Contains(got[0], test.want) {
				t.Errorf("the test fails with %q, want %q", got, test.want)
			}
		})
	}
}

func TestSubscriberThatIsWrong(t *testing.T) {
	t.Parallel()
	calls := 0
	got := failures(t, func(c *eventtest.Case[*memory.Tx], _ *memory.DB) {
		sub := obedient(c, &calls)
		event.On(sub, Orders, func(context.Context, *memory.Tx, event.Of[Ordered]) error { return nil })
		c.Subscriber(sub)
	})
	if len(got) != 1 || !strings.Contains(got[0], "has two handlers") {
		t.Errorf("the test fails with %q", got)
	}
	got = failures(t, func(c *eventtest.Case[*memory.Tx], _ *memory.DB) { c.When(order("x")) })
	if len(got) != 1 || !strings.Contains(got[0], "no subscriber") {
		t.Errorf("the test fails with %q", got)
	}
}

// What was rolled back has no effect and publishes nothing.
func TestRollsBackWhatFails(t *testing.T) {
	t.Parallel()
	for what, class := range map[string]eventtest.Class{"permanent": eventtest.Permanent, "transient": eventtest.Transient,
		"error": eventtest.Limited, "panic": eventtest.Limited} {
		db, calls := memory.New(), 0
		c := eventtest.New(t, db)
		c.Subscriber(obedient(c, &calls)).When(order("a"), order(what), order("b"))
		if err := c.ThenFails(class); err == nil || !strings.Contains(err.Error(), "is ") {
			t.Errorf("%s: error %v", what, err)
		}
		c.ThenPublished(order("published on a"))
		if db.Get("handled") != "|" || calls != 2 {
			t.Errorf("%s: handled %q with %d calls", what, db.Get("handled"), calls)
		}
	}
}

func TestRetriedAndRepeated(t *testing.T) {
	t.Parallel()
	db, calls := memory.New(), 0
	c := eventtest.New(t, db)
	c.Subscriber(obedient(c, &calls))
	c.WhenRetried(order("a")).ThenPublished(order("published on a"))
	if db.Get("handled") != "|" || calls != 2 {
		t.Errorf("retried: handled %q with %d calls", db.Get("handled"), calls)
	}
	c.WhenRepeated(order("b")).ThenPublished(order("published on b"), order("published on b"))
	if db.Get("handled") != "|||" || calls != 4 {
		t.Errorf("repeated: handled %q with %d calls", db.Get("handled"), calls)
	}
	if ms := c.Messages(); len(ms) != 2 || ms[0].Headers["causationid"] == "" || ms[0].Headers["causationid"] == ms[1].Headers["causationid"] {
		t.Errorf("the copies are one message: %+v", ms)
	}
	c.WhenRetried(order("permanent"))
	c.ThenFails(eventtest.Permanent)
	c.WhenRepeated(eventtest.Of(Orders, "7", Ignored{})).ThenIgnored(2)
}

func TestPublishedIsTyped(t *testing.T) {
	t.Parallel()
	calls := 0
	c := eventtest.New(t, memory.New())
	c.Subscriber(obedient(c, &calls)).When(order("a"), order("b"))
	got := eventtest.Published[Ordered](c, Orders)
	if len(got) != 2 || got[1].Data.Do != "published on b" || got[1].AggregateID != "7" {
		t.Errorf("published %+v", got)
	}
	if other := eventtest.Published[Ordered](c, Customers); len(other) != 0 {
		t.Errorf("published of another aggregate: %+v", other)
	}
}

// In the caller's own transaction nothing is committed.
func TestWithin(t *testing.T) {
	t.Parallel()
	db, calls := memory.New(), 0
	tx := db.Begin()
	defer tx.Rollback()
	c := eventtest.New(t, eventtest.Within(tx))
	c.Subscriber(obedient(c, &calls)).When(order("a")).ThenPublished(order("published on a"))
	if n, err := tx.Get(t.Context(), "handled"); n != "|" || err != nil || db.Get("handled") != "" {
		t.Errorf("within: %q, %v; committed %q", n, err, db.Get("handled"))
	}
}

// The store of an inbox knows which errors may pass.
func TestErrorsThatTheStoreKnows(t *testing.T) {
	t.Parallel()
	c := eventtest.New(t, memory.New().Inbox())
	c.Do(func(context.Context, *memory.Tx) error { return fmt.Errorf("change: %w", memory.ErrDeadlock) })
	c.ThenFails(eventtest.Transient)
}

func TestEachOrder(t *testing.T) {
	t.Parallel()
	a1, a2 := eventtest.Of(Orders, "a", Ordered{"1"}), eventtest.Of(Orders, "a", Ordered{"2"})
	b, other := eventtest.Of(Orders, "b", Ordered{"b"}), eventtest.Of(Customers, "a", CreditReserved{"c"})
	seen := map[string]bool{}
	eventtest.EachOrder([]eventtest.Sent{a1, a2, b, other}, func(order []eventtest.Sent) {
		var names []string
		for _, s := range order {
			names = append(names, fmt.Sprint(s.Event))
		}
		seen[strings.Join(names, " ")] = true
	})
	// 4! orders, half of which have the first two the right way round.
	if len(seen) != 12 || !seen["{1} {2} {b} {c}"] || !seen["{c} {b} {1} {2}"] || seen["{2} {1} {b} {c}"] {
		t.Errorf("%d orders: %v", len(seen), seen)
	}
}
