package command_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"tidings.example"
	"tidings.example/command"
	"tidings.example/inbox"
	"tidings.example/store/memory"
)

func TestAnswers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer    command.Answer
		typ, body string
		success   bool
		retryable bool
		failure   string
	}{
		"succeed":   {answer: command.Succeed(reserved{3}), typ: "CreditReserved", body: `{"Left":3}`, success: true},
		"done":      {answer: command.Done(), typ: command.TypeDone, body: "{}", success: true},
		"fail":      {answer: command.Fail(&limitExceeded{4}), typ: "LimitExceeded", body: `{"By":4}`},
		"retryable": {answer: command.FailRetryable(&limitExceeded{4}), typ: "LimitExceeded", body: `{"By":4}`, retryable: true},
		"refuse": {answer: command.Refuse("no %s", "soup"), typ: command.TypeFailed, body: `{"failure":"refused","detail":"no soup"}`,
			failure: command.FailureRefused},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.answering("ada", c.answer, nil)
			m := message(t, customers, reserve{"ada", 7}, command.ForSaga(command.Saga{Type: "order", ID: "7"}, "reserve/1"), command.ID("c1"))
			m.Headers[tidings.HeaderCorrelationID] = "first"
			w.handleAll(m)
			r := w.only()
			if r.Type != c.typ || string(r.Message.Payload) != c.body || r.Success != c.success || r.Retryable != c.retryable || r.Failure != c.failure {
				t.Errorf("reply %+v, %s", r, r.Message.Payload)
			}
			if r.Message.Channel != "orders.replies" || r.Message.Key != "o1" || r.CommandID != "c1" || r.Participant != "customers" ||
				r.Saga != (command.Saga{Type: "order", ID: "7"}) || r.Step != "reserve/1" || r.Locked != "" {
				t.Errorf("reply %+v", r)
			}
			if h := r.Message.Headers; h[tidings.HeaderCausationID] != m.ID || h[tidings.HeaderCorrelationID] != "first" {
				t.Errorf("headers %v", h)
			}
			// A failure commits what the handler has changed, too.
			w.effects("ada x")
		})
	}
}

func TestHandlerGetsTheCommand(t *testing.T) {
	t.Parallel()
	db := memory.New()
	recv := command.NewReceiver("r", db.Outbox(), db.Commands())
	var got command.Of[reserve]
	command.On(recv, customers, func(_ context.Context, _ txn, c command.Of[reserve]) (command.Answer, error) {
		got = c
		return command.Done(), nil
	})
	m := message(t, customers, reserve{"ada", 7}, command.ForSaga(command.Saga{Type: "order", ID: "7"}, "s"), command.ID("c1"))
	if err := db.InTx(t.Context(), func(ctx context.Context, tx txn) error { return recv.Handle(ctx, tx, m) }); err != nil {
		t.Fatal(err)
	}
	if got.Data != (reserve{"ada", 7}) || got.ID != "c1" || got.Saga != (command.Saga{Type: "order", ID: "7"}) || got.Message != m {
		t.Errorf("got %+v", got)
	}
}

func TestNotificationsAreNotAnswered(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.answering("bob", command.Fail(&limitExceeded{}), nil)
	for _, name := range []string{"ada", "bob"} {
		m := ask(name)(t)
		delete(m.Headers, command.HeaderReplyChannel)
		delete(m.Headers, command.HeaderReplyKey)
		w.handleAll(m)
	}
	w.told()
	w.effects("ada x", "bob x")
	if !strings.Contains(w.log.String(), "a command failed that nobody waits for") {
		t.Errorf("nothing is logged: %s", w.log)
	}
}

// What cannot be handled is answered with a failure that says so, and stops nothing.
func TestBadCommandsAreAnswered(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(m *tidings.Message)
		want   string
	}{
		"unknown type": {func(m *tidings.Message) { m.Type = "Dance" },
			"tidings.failed unhandled: participant customers has no handler for commands of type Dance"},
		"no JSON":            {func(m *tidings.Message) { m.Payload = []byte("{") }, "tidings.failed undecodable: decode ReserveCredit: unexpected end of JSON input"},
		"another media type": {func(m *tidings.Message) { m.ContentType = "text/plain" }, `tidings.failed undecodable: decode ReserveCredit: content type is "text/plain", not JSON`},
		"another participant": {func(m *tidings.Message) { m.Headers[command.HeaderParticipant] = "couriers" },
			`tidings.failed unhandled: channel customers.commands has no participant "couriers"`},
		"another channel": {func(m *tidings.Message) { m.Channel = "kitchen.commands" },
			`tidings.failed unhandled: channel kitchen.commands has no participant "customers"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			m := ask("ada")(t)
			c.change(m)
			w.handleAll(m, ask("bob")(t))
			w.told(c.want, "CreditReserved")
			w.asked("bob")
		})
	}
}

func TestBadNotifications(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	notify := func(change func(m *tidings.Message)) error {
		m := ask("ada")(t)
		delete(m.Headers, command.HeaderReplyChannel)
		change(m)
		return w.handled(m)
	}
	unknown := func(m *tidings.Message) { m.Type = "Dance" }
	for range 2 {
		if err := notify(unknown); err != nil {
			t.Errorf("unknown type: %v", err)
		}
	}
	if got := w.recv.Skipped(); !slices.Equal(got, []command.Skip{{Channel: "customers.commands", Participant: "customers", Type: "Dance", Count: 2}}) {
		t.Errorf("skipped %+v", got)
	}
	if !strings.Contains(w.log.String(), "command without a handler") {
		t.Errorf("nothing is logged: %s", w.log)
	}
	// Nobody could be told: it is parked for an operator.
	if err := notify(func(m *tidings.Message) { m.Payload = nil }); !inbox.IsPermanent(err) || !strings.Contains(err.Error(), "decode ReserveCredit") {
		t.Errorf("undecodable: %v", err)
	}
	w.told()
}

// What cannot be answered is not done either: it is parked, with the reason.
func TestUnanswerableCommands(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(h tidings.Headers)
		want   string
	}{
		"reply channel": {func(h tidings.Headers) { h[command.HeaderReplyChannel] = "no channel" }, "it cannot be replied to: invalid message: channel"},
		"reply key":     {func(h tidings.Headers) { h[command.HeaderReplyKey] = strings.Repeat("x", 300) }, `header "replykey" has 300 bytes, more than 255`},
		"command id":    {func(h tidings.Headers) { h[command.HeaderCommandID] = strings.Repeat("x", 3000) }, `header "commandid" has 3000 bytes, more than 1024`},
		"half a saga":   {func(h tidings.Headers) { h[command.HeaderSagaID] = "7" }, `headers "sagatype" and "sagaid": one has a value`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			m := ask("ada")(t)
			c.change(m.Headers)
			if err := w.handled(m); !inbox.IsPermanent(err) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v", err)
			}
			settled, err := w.recv.GiveUp(t.Context(), nil, m, errors.New("x"))
			if settled || err != nil {
				t.Errorf("given up: %v, %v", settled, err)
			}
			w.asked("")
		})
	}
}

// A handler whose answer cannot be sent has not succeeded: it is rolled back.
func TestBadAnswers(t *testing.T) {
	t.Parallel()
	for want, answer := range map[string]command.Answer{
		"neither an answer nor an error":      {},
		"answer has a nil reply":              command.Fail(nil),
		"the handler's answer has a nil repl": command.Succeed((*limitExceeded)(nil)),
		"encode reply Unencodable":            command.Succeed(unencodable{}),
		`type "no spaces"`:                    command.Succeed(nameless{}),
	} {
		w := newWorld(t)
		w.answering("ada", answer, nil)
		if err := w.handled(ask("ada")(t)); !inbox.IsPermanent(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", want, err)
		}
		w.effects()
	}
}

func TestErrorsAreTheInboxes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bad := errors.New("bad")
	w.answering("ada", command.Done(), bad)
	if err := w.handled(ask("ada")(t)); !errors.Is(err, bad) || inbox.IsPermanent(err) {
		t.Errorf("got %v", err)
	}
	w.effects()
	w.told()
}

func TestParticipantsOfAChannel(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	nameless := func(m *tidings.Message) *tidings.Message {
		delete(m.Headers, command.HeaderParticipant)
		return m
	}
	w.handleAll(nameless(ask("ada")(t)))
	w.told("CreditReserved")
	if r := w.only(); r.Participant != "customers" {
		t.Errorf("reply %+v", r)
	}

	// With several participants in the channel the header is needed.
	debtors := command.Participant{Name: "debtors", Channel: customers.Channel}
	command.On(w.recv, debtors, w.reserve)
	couriers := command.Participant{Name: "couriers", Channel: customers.Channel}
	w.recv.Ignore(couriers)
	w.handleAll(nameless(ask("bob")(t)), message(t, debtors, reserve{"eve", 1}, command.ID("e")), message(t, couriers, reserve{"mal", 1}))
	w.told("CreditReserved", `tidings.failed unhandled: channel customers.commands has several participants, and the message has no header "participant"`,
		"CreditReserved")
	w.asked("ada eve")
	if got := w.recv.Channels(); !slices.Equal(got, []string{"customers.commands", "kitchen.commands"}) {
		t.Errorf("channels %v", got)
	}
}

func TestRegistrationErrors(t *testing.T) {
	t.Parallel()
	type of = func(ctx context.Context, tx txn, c command.Of[reserve]) (command.Answer, error)
	db := memory.New()
	handle := of(func(context.Context, txn, command.Of[reserve]) (command.Answer, error) { return command.Done(), nil })
	target := func(reserve) string { return "t" }
	for want, register := range map[string]func(r *receiver){
		"has two handlers": func(r *receiver) { command.On(r, customers, handle); command.On(r, customers, handle) },
		"it is nil":        func(r *receiver) { command.On(r, customers, of(nil)) },
		"channel is empty": func(r *receiver) { command.On(r, command.Participant{Name: "x"}, handle) },
		"participant name": func(r *receiver) { command.On(r, command.Participant{Name: "/", Channel: "c"}, handle) },
		"two channels, a and ": func(r *receiver) {
			command.On(r, command.Participant{Name: "x", Channel: "a"}, handle)
			command.On(r, command.Participant{Name: "x", Channel: "b"}, handle)
		},
		"names the target": func(r *receiver) {
			command.On(r, customers, handle, command.Locking(target), command.Respecting(target))
		},
		"give one function": func(r *receiver) { command.On(r, customers, handle, command.Locking[reserve](nil)) },
		`type "no spaces"`: func(r *receiver) {
			command.On(r, customers, func(context.Context, txn, command.Of[nameless]) (command.Answer, error) { return command.Done(), nil })
		},
		"is not the type of a command": func(r *receiver) {
			command.On(r, customers, func(context.Context, txn, command.Of[command.Command]) (command.Answer, error) {
				return command.Done(), nil
			})
		},
	} {
		recv := command.NewReceiver("r", db.Outbox(), db.Commands())
		register(recv)
		_, err := recv.Inbox(inbox.Config[txn]{Store: db.Inbox()})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", want, err)
		}
		if err := recv.Handle(t.Context(), nil, ask("x")(t)); !inbox.IsTransient(err) {
			t.Errorf("%s: Handle: %v", want, err)
		}
		if err := recv.Upkeep().Run(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: Upkeep: %v", want, err)
		}
		if err := recv.Answer(t.Context(), nil, "", command.Done()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: Answer: %v", want, err)
		}
	}
	for want, recv := range map[string]*receiver{
		"has no handlers":   command.NewReceiver("r", db.Outbox(), db.Commands()),
		"outbox is nil":     command.NewReceiver[txn]("r", nil, db.Commands()),
		"store is nil":      command.NewReceiver[txn]("r", db.Outbox(), nil),
		"clock is nil":      command.NewReceiver("r", db.Outbox(), db.Commands(), command.WithClock(nil)),
		"retention 0s":      command.NewReceiver("r", db.Outbox(), db.Commands(), command.WithRetention(0)),
		"0 attempts":        command.NewReceiver("r", db.Outbox(), db.Commands(), command.WithAttempts(0)),
		"interval 0s":       command.NewReceiver("r", db.Outbox(), db.Commands(), command.WithInterval(0)),
		"timeout 0s":        command.NewReceiver("r", db.Outbox(), db.Commands(), command.WithTimeout(0)),
		"leave Subscriber,": newWorld(t).recv,
	} {
		if _, err := recv.Inbox(inbox.Config[txn]{Store: db.Inbox(), Subscriber: "x"}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", want, err)
		}
	}
}
