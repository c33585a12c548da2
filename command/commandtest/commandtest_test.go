package commandtest_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"tidings.example/command"
	"tidings.example/command/commandtest"
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
func (s *spy) Fatalf(format string, args ...any) { s.Errorf(format, args...); runtime.Goexit() }

// failures runs a test to its end and returns how it failed.
func failures(t *testing.T, test func(c *commandtest.Case[*memory.Tx], db *memory.DB)) []string {
	s := &spy{TB: t}
	db := memory.New()
	for _, part := range []func(){func() { test(commandtest.New(s, db), db) }, func() {
		for _, f := range s.cleanups {
			f()
		}
	}} {
		ended := make(chan struct{})
		go func() { defer close(ended); part() }()
		<-ended
	}
	return s.failures
}

// Obey does what a test tells it to.
type Obey struct{ Do string }

func (Obey) CommandType() string { return "Obey" }

type No struct{}

func (No) ReplyType() string { return "No" }

// obedient handles Obey, and keeps the tokens of commands that are put off.
func obedient(db *memory.DB, c *commandtest.Case[*memory.Tx], calls *int) *command.Receiver[*memory.Tx] {
	r := command.NewReceiver("obedient", c.Outbox(), db.Commands())
	command.On(r, Customers, func(ctx context.Context, tx *memory.Tx, o command.Of[Obey]) (command.Answer, error) {
		*calls++
		if err := tx.Put(ctx, "done", o.Data.Do); err != nil {
			return command.Answer{}, err
		}
		switch o.Data.Do {
		case "refuse":
			return command.Fail(No{}), nil
		case "not now":
			return command.FailRetryable(No{}), nil
		case "later":
			return command.Later(), tx.Put(ctx, "token", o.Token())
		case "permanent":
			return command.Answer{}, inbox.Permanent(errors.New("is wrong"))
		case "transient":
			return command.Answer{}, inbox.Transient(errors.New("is away"))
		case "error":
			return command.Answer{}, errors.New("is odd")
		case "panic":
			panic("is broken")
		}
		return command.Done(), nil
	})
	return r
}

func obey(what string) commandtest.Sent { return commandtest.Of(Customers, Obey{what}) }

func TestReportsWhatIsWrong(t *testing.T) {
	t.Parallel()
	type testCase = commandtest.Case[*memory.Tx]
	for name, test := range map[string]struct {
		do   func(c *testCase)
		want string
	}{
		"nobody looks at the error": {func(c *testCase) { c.When(obey("permanent")) }, "is wrong (permanent)"},
		"nobody looks at the reply": {func(c *testCase) { c.When(obey("x")); c.When(obey("y")).ThenDone() }, "nobody asked what was replied:\n  success tidings.done"},
		"another reply":             {func(c *testCase) { c.When(obey("refuse")).ThenReplied(No{}) }, "replied:\n  failure No {}\nwant:\n  success No {}"},
		"for good or for now":       {func(c *testCase) { c.When(obey("not now")).ThenRefused(No{}) }, "failure that may pass No {}\nwant:\n  failure No {}"},
		"no reply":                  {func(c *testCase) { c.When(obey("later")).ThenDone() }, "0 replies to 1 commands"},
		"a reply":                   {func(c *testCase) { c.When(obey("x")).ThenNoReply() }, "want no reply"},
		"an error for a reply":      {func(c *testCase) { c.When(obey("error")).ThenDone() }, `Obey {"Do":"error"}: is odd (limited)`},
		"another class":             {func(c *testCase) { c.When(obey("panic")); c.ThenFails(commandtest.Transient) }, "is limited, want transient: handler panicked: is broken"},
		"no error":                  {func(c *testCase) { c.When(obey("x")); c.ThenFails(commandtest.Limited) }, "want one that is limited"},
		"given fails":               {func(c *testCase) { c.Given(obey("error")) }, "is odd"},
		"given is refused":          {func(c *testCase) { c.Given(obey("refuse")) }, "failure No"},
		"unhandled":                 {func(c *testCase) { c.When(commandtest.Of(Customers, CreateCustomer{})).ThenDone() }, "has no handler for commands of type CreateCustomer"},
		"not a command":             {func(c *testCase) { c.When(commandtest.Of(command.Participant{}, Obey{})) }, "commandtest: "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			calls := 0
			got := failures(t, func(c *testCase, db *memory.DB) { test.do(c.Receiver(obedient(db, c, &calls))) })
			if len(got) == 0 || !strings.Contains(got[0], test.want) {
				t.Errorf("the test fails with %q, want %q", got, test.want)
			}
		})
	}
	got := failures(t, func(c *testCase, db *memory.DB) { c.When(obey("x")) })
	if len(got) != 1 || !strings.Contains(got[0], "no receiver") {
		t.Errorf("without a receiver: %q", got)
	}
	got = failures(t, func(c *testCase, db *memory.DB) {
		calls := 0
		r := obedient(db, c, &calls)
		command.On(r, Customers, func(context.Context, *memory.Tx, command.Of[Obey]) (command.Answer, error) {
			return command.Done(), nil
		})
		c.Receiver(r)
	})
	if len(got) != 1 || !strings.Contains(got[0], "two handlers") {
		t.Errorf("with two handlers: %q", got)
	}
}

func TestRetriedAndRepeated(t *testing.T) {
	t.Parallel()
	db, calls := memory.New(), 0
	c := commandtest.New(t, db)
	c.Receiver(obedient(db, c, &calls))
	if c.WhenRetried(obey("x")).ThenDone(); calls != 2 {
		t.Errorf("retried: %d calls", calls)
	}
	if c.WhenRepeated(obey("x")).ThenDone(); calls != 3 {
		t.Errorf("repeated: %d calls in all", calls)
	}
	if c.WhenRepeated(obey("not now")).ThenFailedForNow(No{}); calls != 5 {
		t.Errorf("repeated after a failure that may pass: %d calls in all", calls)
	}
	c.When(commandtest.Notification(Customers, Obey{"told"})).ThenNoReply()
	c.When(obey("panic"))
	c.ThenFails(commandtest.Limited)
	c.When(obey("transient"))
	c.ThenFails(commandtest.Transient)
	if got := db.Get("done"); got != "told" {
		t.Errorf("what was rolled back is there: %q", got)
	}
	replies := c.When(obey("refuse")).ThenRefused(No{}).Replies()
	if len(replies) != 1 || replies[0].Type != "No" || replies[0].Participant != "customers" {
		t.Errorf("replies: %+v", replies)
	}
}

func TestAnswersLater(t *testing.T) {
	t.Parallel()
	db, calls := memory.New(), 0
	tx := db.Begin()
	defer tx.Rollback()
	c := commandtest.New(t, commandtest.Within(tx))
	r := obedient(db, c, &calls)
	c.Receiver(r).When(obey("later")).ThenNoReply()
	c.WhenDone(func(ctx context.Context, tx *memory.Tx) error {
		token, err := tx.Get(ctx, "token")
		if err != nil {
			return err
		}
		return r.Answer(ctx, tx, token, command.Succeed(No{}))
	}).ThenReplied(No{})
	if db.Get("token") != "" {
		t.Error("the caller's transaction was committed")
	}
	if len(c.Messages()) != 0 {
		t.Errorf("published %v", c.Messages())
	}
}
