package command_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tidings.example"
	"tidings.example/broker/inproc"
	"tidings.example/command"
	"tidings.example/inbox"
	"tidings.example/relay"
	"tidings.example/store/memory"
)

// component is what a service runs.
type component interface {
	Name() string
	Run(ctx context.Context) error
	Ready() error
}

// system is a participant and those who ask, each with its own database, and a broker between them.
type system struct {
	*world
	broker *inproc.Broker
	asking *memory.DB
}

// together runs a test in a bubble, beside the participant's inbox, its upkeep and the relays.
func together(t *testing.T, cfg inbox.Config[txn], test func(s *system)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &system{world: newWorld(t), broker: inproc.New(inproc.Config{}), asking: memory.New()}
		cfg.Store, cfg.Broker = s.db.Inbox(), s.broker
		cfg.Backoff.Jitter = func(bound time.Duration) time.Duration { return bound }
		in, err := s.recv.Inbox(cfg)
		if err != nil {
			t.Fatal(err)
		}
		stop := s.run(in, s.recv.Upkeep(), s.relay(s.db, "restaurant"), s.relay(s.asking, "shop"))
		defer stop()
		synctest.Wait()
		test(s)
	})
}

func (s *system) relay(db *memory.DB, name string) component {
	s.t.Helper()
	r, err := relay.New(relay.Config{Source: db.Relay(name), Broker: s.broker})
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

func (s *system) run(components ...component) (stop func()) {
	ctx, cancel := context.WithCancel(s.t.Context())
	var running sync.WaitGroup
	for _, c := range components {
		running.Go(func() {
			if err := c.Run(ctx); err != nil {
				s.t.Errorf("%s: %v", c.Name(), err)
			}
		})
	}
	return func() {
		cancel()
		running.Wait()
	}
}

func (s *system) requester(change func(*command.RequesterConfig[txn])) *command.Requester[txn] {
	s.t.Helper()
	cfg := command.RequesterConfig[txn]{Name: "shop", Outbox: s.asking.Outbox(), Inbox: s.asking.Inbox(), Replies: s.asking.Replies(), Broker: s.broker}
	if change != nil {
		change(&cfg)
	}
	r, err := command.NewRequester(cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

func TestRequestAndReply(t *testing.T) {
	t.Parallel()
	together(t, inbox.Config[txn]{}, func(s *system) {
		requests := s.requester(nil)
		if err := requests.Ready(); err == nil {
			t.Error("ready before it runs")
		}
		defer s.run(requests)()
		synctest.Wait()
		if err := requests.Ready(); err != nil || requests.Name() != "requests shop" {
			t.Errorf("ready: %v", err)
		}
		reply, err := requests.Request(s.t.Context(), customers, reserve{"ada", 7})
		if err != nil {
			t.Fatal(err)
		}
		if v, err := command.ReplyAs[reserved](reply); err != nil || v.Left != 93 {
			t.Errorf("reply %+v, %v", v, err)
		}

		s.answering("bob", command.Fail(&limitExceeded{By: 4}), nil)
		_, err = requests.Request(s.t.Context(), customers, reserve{"bob", 7})
		var failed *command.FailedError
		if !errors.As(err, &failed) || !strings.Contains(err.Error(), "request ReserveCredit of customers: command ") || !strings.Contains(err.Error(), "failed: LimitExceeded") {
			t.Fatalf("got %v", err)
		}
		if v, err := command.ReplyAs[*limitExceeded](failed.Reply); err != nil || v.By != 4 {
			t.Errorf("reply %+v, %v", v, err)
		}
		if _, err := requests.Request(s.t.Context(), customers, nameless{}); !errors.Is(err, tidings.ErrInvalid) {
			t.Errorf("got %v", err)
		}
		if _, err := requests.Request(s.t.Context(), customers, reserve{}, command.ID(strings.Repeat("x", 300)), command.Key("k")); err == nil || !strings.Contains(err.Error(), "its id has 300 bytes") {
			t.Errorf("got %v", err)
		}
		s.effects("ada x", "bob x")
	})
}

func TestRequestTimesOut(t *testing.T) {
	t.Parallel()
	together(t, inbox.Config[txn]{MaxAttempts: 1000}, func(s *system) {
		requests := s.requester(func(c *command.RequesterConfig[txn]) { c.Timeout, c.Retention = 10*time.Second, 2*time.Minute })
		defer s.run(requests)()
		s.answering("ada", command.Answer{}, errors.New("busy"))
		began := time.Now()
		_, err := requests.Request(s.t.Context(), customers, reserve{"ada", 7}, command.ID("c1"))
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != 10*time.Second || !strings.Contains(err.Error(), "wait for the reply to command c1") {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
		ctx, cancel := context.WithCancelCause(s.t.Context())
		time.AfterFunc(time.Second, func() { cancel(errors.New("enough")) })
		began = time.Now()
		if _, err = requests.Request(ctx, customers, reserve{"ada", 7}); !errors.Is(err, context.Canceled) || time.Since(began) != time.Second {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
		// The reply that comes too late is kept for a while: who asks again with the same id gets it.
		s.answering("ada", command.Succeed(reserved{5}), nil)
		s.pass(time.Minute)
		if m, err := s.asking.Replies().Reply(s.t.Context(), "c1"); m == nil || err != nil {
			t.Errorf("the late reply: %v, %v", m, err)
		}
		s.pass(6 * time.Minute)
		if m, err := s.asking.Replies().Reply(s.t.Context(), "c1"); m != nil || err != nil {
			t.Errorf("the old reply: %v, %v", m, err)
		}
	})
}

// A reply that another process of the service receives is found.
func TestReplyReceivedElsewhere(t *testing.T) {
	t.Parallel()
	together(t, inbox.Config[txn]{}, func(s *system) {
		here, elsewhere := s.requester(nil), s.requester(nil)
		defer s.run(elsewhere)()
		synctest.Wait()
		reply, err := here.Request(s.t.Context(), customers, reserve{"ada", 7})
		if err != nil || reply.Type != "CreditReserved" {
			t.Errorf("reply %+v, %v", reply, err)
		}
	})
}

func TestOneRequestForEachID(t *testing.T) {
	t.Parallel()
	together(t, inbox.Config[txn]{}, func(s *system) {
		requests := s.requester(nil)
		first := make(chan error)
		go func() {
			_, err := requests.Request(s.t.Context(), customers, reserve{"ada", 7}, command.ID("c1"))
			first <- err
		}()
		synctest.Wait()
		if _, err := requests.Request(s.t.Context(), customers, reserve{"ada", 7}, command.ID("c1")); err == nil || !strings.Contains(err.Error(), "waits already") {
			t.Errorf("got %v", err)
		}
		defer s.run(requests)()
		if err := <-first; err != nil {
			t.Error(err)
		}
	})
}

// deliver sends a message to the requester as another program would.
func (s *system) deliver(m *tidings.Message) {
	s.t.Helper()
	err := s.db.InTx(s.t.Context(), func(ctx context.Context, tx txn) error { return s.db.Outbox().Append(ctx, tx, *m) })
	if err != nil {
		s.t.Error(err)
	}
	s.pass(time.Second)
}

func TestRepliesThatAreNone(t *testing.T) {
	t.Parallel()
	together(t, inbox.Config[txn]{}, func(s *system) {
		requests := s.requester(nil)
		defer s.run(requests)()
		synctest.Wait()
		waits := make(chan error)
		go func() {
			_, err := requests.Request(s.t.Context(), command.Participant{Name: "nobody", Channel: "nobody"}, reserve{"ada", 7}, command.ID("c1"))
			waits <- err
		}()
		synctest.Wait()
		// Without a command's id it is for nobody: it is parked.
		s.deliver(&tidings.Message{Channel: "shop.replies", Type: "T", Headers: tidings.Headers{"outcome": "success"}})
		if got := requests.Stats(); got.Parked != 1 {
			t.Errorf("stats %+v", got)
		}
		// Without an outcome, who waits is told.
		s.deliver(&tidings.Message{Channel: "shop.replies", Type: "T", Headers: tidings.Headers{"commandid": "c1"}})
		if err := <-waits; !errors.Is(err, command.ErrNoReply) || !strings.Contains(err.Error(), `no header "outcome"`) {
			t.Errorf("got %v", err)
		}
		// A reply to a command of nobody is kept, and disturbs nothing.
		s.deliver(&tidings.Message{Channel: "shop.replies", Type: "T", Headers: tidings.Headers{"commandid": "unknown", "outcome": "success"}})
		if got := requests.Stats(); got.Parked != 1 || got.Handled != 2 {
			t.Errorf("stats %+v", got)
		}
	})
}

func TestRequesterConfig(t *testing.T) {
	t.Parallel()
	db := memory.New()
	for want, change := range map[string]func(*command.RequesterConfig[txn]){
		"name is empty":             func(c *command.RequesterConfig[txn]) { c.Name, c.Channel = "", "c" },
		"outbox is missing":         func(c *command.RequesterConfig[txn]) { c.Outbox = nil },
		"inbox's store is missi":    func(c *command.RequesterConfig[txn]) { c.Inbox = nil },
		"store of replies is mis":   func(c *command.RequesterConfig[txn]) { c.Replies = nil },
		"broker is missing":         func(c *command.RequesterConfig[txn]) { c.Broker = nil },
		"less than 0":               func(c *command.RequesterConfig[txn]) { c.Timeout = -1 },
		"retention 1s is not":       func(c *command.RequesterConfig[txn]) { c.Retention = time.Second },
		"subscriber \"no channel\"": func(c *command.RequesterConfig[txn]) { c.Channel = "no channel" },
	} {
		cfg := command.RequesterConfig[txn]{Name: "shop", Outbox: db.Outbox(), Inbox: db.Inbox(), Replies: db.Replies(), Broker: inproc.New(inproc.Config{})}
		change(&cfg)
		if _, err := command.NewRequester(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", want, err)
		}
	}
}

// Errors that do not pass, and panics, are answered; what follows goes on.
func TestHopelessCommandsAreRejected(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fail func(s *system)
		want string
	}{
		"attempts":  {func(s *system) { s.answering("ada", command.Answer{}, errors.New("bad")) }, "tidings.failed rejected: bad"},
		"permanent": {func(s *system) { s.answering("ada", command.Answer{}, inbox.Permanent(errors.New("bad"))) }, "tidings.failed rejected: bad"},
		"panic":     {func(s *system) { s.panicking("ada") }, "tidings.failed rejected: handler panicked: no ada"},
		"no answer": {func(s *system) { s.answering("ada", command.Answer{}, nil) },
			"tidings.failed rejected: command c1: the handler returned neither an answer nor an error: return command.Done()"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			together(t, inbox.Config[txn]{MaxAttempts: 3}, func(s *system) {
				requests := s.requester(nil)
				defer s.run(requests)()
				c.fail(s)
				_, err := requests.Request(s.t.Context(), customers, reserve{"ada", 7}, command.ID("c1"), command.Key("k"))
				var failed *command.FailedError
				if !errors.As(err, &failed) || failed.Reply.Failure != command.FailureRejected {
					t.Fatalf("got %v", err)
				}
				if got := failed.Reply.Type + " " + failed.Reply.Problem(); got != c.want {
					t.Errorf("got %q, want %q", got, c.want)
				}
				if _, err := requests.Request(s.t.Context(), customers, reserve{"bob", 7}, command.Key("k")); err != nil {
					t.Error(err)
				}
				s.effects("bob x")
			})
		})
	}
}

// A notification that fails for good is parked: an operator can retry it.
func TestHopelessNotificationsAreParked(t *testing.T) {
	t.Parallel()
	together(t, inbox.Config[txn]{}, func(s *system) {
		s.answering("ada", command.Answer{}, inbox.Permanent(errors.New("bad")))
		sender := command.NewSender(s.asking.Outbox())
		err := s.asking.InTx(s.t.Context(), func(ctx context.Context, tx txn) error {
			_, err := sender.Send(ctx, tx, customers, reserve{"ada", 7})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		s.pass(time.Minute)
		s.expectParked("bad")
		s.effects()
	})
}

// Locks come and go through the broker, and a waiting command that fails is rejected there too.
func TestLocksThroughTheBroker(t *testing.T) {
	t.Parallel()
	together(t, inbox.Config[txn]{MaxAttempts: 2}, func(s *system) {
		s.answering("bad", command.Answer{}, errors.New("bad"))
		sender := command.NewSender(s.asking.Outbox())
		send := func(saga, dish string) {
			s.inAsking(func(ctx context.Context, tx txn) error {
				_, err := sender.Send(ctx, tx, kitchen, &cook{"T", dish}, command.ForSaga(command.Saga{Type: "order", ID: saga}, "cook"), command.ReplyTo("kept", saga))
				return err
			})
		}
		unlock := func(saga string) {
			s.inAsking(func(ctx context.Context, tx txn) error {
				return sender.Unlock(ctx, tx, kitchen, command.Saga{Type: "order", ID: saga})
			})
		}
		send("1", "soup")
		send("2", "bad")
		send("3", "fish")
		s.locked("T:1:2")
		unlock("1")
		s.pass(time.Minute)
		s.locked("T:3:0")
		unlock("3")
		s.locked("")
		s.effects("fish x", "soup x")
		s.expectParked()
	})
}

func (s *system) inAsking(fn func(ctx context.Context, tx txn) error) {
	s.t.Helper()
	if err := s.asking.InTx(s.t.Context(), fn); err != nil {
		s.t.Error(err)
	}
	s.pass(time.Second)
}
