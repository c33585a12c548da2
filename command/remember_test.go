package command_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"tidings.example"
	"tidings.example/command"
)

func (w *world) repeated(id, step string) {
	w.t.Helper()
	w.handleAll(ask("ada", command.ID(id), command.Repeatable(), command.ForSaga(command.Saga{Type: "order", ID: "7"}, step))(w.t))
}

func TestRepeatedCommandsAreAnsweredFromMemory(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 1000)
	for name, c := range map[string]struct {
		answer command.Answer
		told   string
		again  bool
	}{
		"success":   {command.Succeed(reserved{3}), "CreditReserved", false},
		"done":      {command.Done(), "tidings.done", false},
		"failure":   {command.Fail(&limitExceeded{}), "LimitExceeded LimitExceeded", false},
		"refused":   {command.Refuse("no"), "tidings.failed refused: no", false},
		"retryable": {command.FailRetryable(&limitExceeded{}), "LimitExceeded LimitExceeded", true},
	} {
		for _, id := range []string{"c1", "a#b", long} {
			w := newWorld(t)
			w.answering("ada", c.answer, nil)
			w.repeated(id, "reserve/1")
			w.repeated(id, "reserve/2")
			w.repeated(id+"other", "reserve/1")
			calls := "ada ada"
			if c.again {
				calls = "ada ada ada"
			}
			w.asked(calls)
			w.told(c.told, c.told, c.told)
			first, second := w.replies()[0], w.replies()[1]
			if second.CommandID != id || second.Step != "reserve/2" || second.Success != first.Success || second.Retryable != first.Retryable ||
				second.Failure != first.Failure || second.Message.ID == first.Message.ID || string(second.Message.Payload) != string(first.Message.Payload) {
				t.Errorf("%s: reply %+v after %+v", name, second, first)
			}
		}
	}
}

func TestOtherCommandsAreNotRemembered(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.handleAll(ask("ada", command.ID("c1"))(t), ask("ada", command.ID("c1"))(t))
	w.asked("ada ada")
}

// Failures that no handler chose are remembered too: an attempt that is late must
// not do what its saga takes for failed.
func TestRejectedCommandsAreRemembered(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := ask("ada", command.ID("c1"), command.Repeatable())(t)
	err := w.db.InTx(t.Context(), func(ctx context.Context, tx txn) error {
		settled, err := w.recv.GiveUp(ctx, tx, m, errors.New("no database"))
		if !settled {
			t.Error("not settled")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	w.handleAll(m)
	w.told("tidings.failed rejected: no database", "tidings.failed rejected: no database")
	w.asked("")
}

func TestLockedIsRememberedToo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for range 2 {
		m := message(t, kitchen, &cook{"T", "soup"}, command.ForSaga(command.Saga{Type: "order", ID: "1"}, "s"), command.ID("c1"), command.Repeatable())
		w.handleAll(m)
	}
	w.asked("soup")
	if r := w.replies()[1]; r.Locked != "T" {
		t.Errorf("reply %+v", r)
	}
}

// deferred makes the handler of a name keep its token and answer later.
func (w *world) deferring() (tokens *[]string) {
	tokens = new([]string)
	w.recv = command.NewReceiver("restaurant", w.db.Outbox(), w.db.Commands())
	command.On(w.recv, customers, func(ctx context.Context, tx txn, c command.Of[reserve]) (command.Answer, error) {
		*tokens = append(*tokens, c.Token())
		return w.handle(ctx, tx, c.Data.Customer, command.Later())
	}, command.Locking(func(c reserve) string { return c.Customer }))
	return tokens
}

func (w *world) answer(token string, a command.Answer) error {
	return w.db.InTx(w.t.Context(), func(ctx context.Context, tx txn) error { return w.recv.Answer(ctx, tx, token, a) })
}

func TestAnswersThatComeLater(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tokens := w.deferring()
	m := ask("ada", command.ID("c1"), command.ForSaga(command.Saga{Type: "order", ID: "7"}, "reserve/1"))(t)
	m.Headers[tidings.HeaderCorrelationID], m.Headers[tidings.HeaderTraceparent] = "first", "00-trace"
	w.handleAll(m)
	w.told()
	w.effects("ada x")

	// Its transaction decides.
	stop := errors.New("stop")
	err := w.db.InTx(t.Context(), func(ctx context.Context, tx txn) error {
		return errors.Join(w.recv.Answer(ctx, tx, (*tokens)[0], command.Done()), stop)
	})
	if err == nil || err.Error() != "stop" {
		t.Errorf("got %v", err)
	}
	w.told()
	if err := w.answer((*tokens)[0], command.Succeed(reserved{3})); err != nil {
		t.Fatal(err)
	}
	r := w.only()
	if r.Type != "CreditReserved" || r.CommandID != "c1" || r.Step != "reserve/1" || r.Saga.ID != "7" || r.Locked != "ada" || r.Message.Key != "o1" {
		t.Errorf("reply %+v", r)
	}
	if h := r.Message.Headers; h[tidings.HeaderCausationID] != m.ID || h[tidings.HeaderCorrelationID] != "first" || h[tidings.HeaderTraceparent] != "00-trace" {
		t.Errorf("headers %v", h)
	}
	if err := w.answer((*tokens)[0], command.Done()); !errors.Is(err, command.ErrAnswered) {
		t.Errorf("answered twice: %v", err)
	}
	w.only()
}

func TestLaterAnswersToRepeatedCommands(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tokens := w.deferring()
	w.repeated("c1", "reserve/1")
	w.repeated("c1", "reserve/2") // waits for the first one's answer
	w.asked("ada")
	if err := w.answer((*tokens)[0], command.FailRetryable(&limitExceeded{})); err != nil {
		t.Fatal(err)
	}
	w.told("LimitExceeded LimitExceeded")
	// That may pass: it is handled anew.
	w.repeated("c1", "reserve/3")
	w.repeated("c1", "reserve/4")
	w.asked("ada ada")
	if err := w.answer((*tokens)[0], command.Done()); !errors.Is(err, command.ErrAnswered) {
		t.Errorf("the first token again: %v", err)
	}
	if err := w.answer((*tokens)[1], command.Succeed(reserved{3})); err != nil {
		t.Fatal(err)
	}
	w.repeated("c1", "reserve/5")
	w.asked("ada ada")
	w.told("LimitExceeded LimitExceeded", "CreditReserved", "CreditReserved")
	if r := w.replies()[2]; r.Step != "reserve/5" || r.Locked != "ada" {
		t.Errorf("reply %+v", r)
	}
}

func TestNotificationsMayBeAnsweredLater(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tokens := w.deferring()
	m := ask("ada")(t)
	delete(m.Headers, command.HeaderReplyChannel)
	w.handleAll(m)
	if err := w.answer((*tokens)[0], command.Done()); err != nil {
		t.Error(err)
	}
	w.told()
}

func TestAnswerRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tokens := w.deferring()
	w.handleAll(ask("ada")(t))
	token := (*tokens)[0]
	for want, err := range map[string]error{
		"not a reply token: it does not begin with": w.answer("garbage", command.Done()),
		"was deferred already":                      w.answer(token, command.Later()),
		"neither an answer nor an error":            w.answer(token, command.Answer{}),
		"encode reply Unencodable":                  w.answer(token, command.Succeed(unencodable{})),
		`type "no spaces"`:                          w.answer(token, command.Succeed(nameless{})),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", want, err)
		}
	}
	other := newWorld(t)
	other.recv = command.NewReceiver("other", other.db.Outbox(), other.db.Commands())
	if err := other.answer(token, command.Done()); err == nil || !strings.Contains(err.Error(), `receiver "other" has no participant "customers"`) {
		t.Errorf("got %v", err)
	}
	w.told()
	if err := w.answer(token, command.Done()); err != nil {
		t.Error(err)
	}
}

func TestOldAnswersAreForgotten(t *testing.T) {
	t.Parallel()
	bubble(t, func(w *world) {
		w.repeated("c1", "reserve/1")
		w.pass(48 * time.Hour)
		w.repeated("c1", "reserve/2")
		w.asked("ada")
		w.pass(26 * time.Hour)
		w.repeated("c1", "reserve/3")
		w.asked("ada ada")
	}, command.WithRetention(72*time.Hour), command.WithInterval(time.Minute))
}
