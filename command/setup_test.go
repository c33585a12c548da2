package command_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tidings.example"
	"tidings.example/admin"
	"tidings.example/command"
	"tidings.example/relay"
	"tidings.example/store/memory"
)

// The participants of the tests, and what they are asked.
var (
	customers = command.Participant{Name: "customers", Channel: "customers.commands"}
	kitchen   = command.Participant{Name: "kitchen", Channel: "kitchen.commands"}
)

type reserve struct {
	Customer string
	Amount   int
}

func (reserve) CommandType() string { return "ReserveCredit" }

type cook struct{ Ticket, Dish string }

func (*cook) CommandType() string { return "Cook" }

type reserved struct{ Left int }

func (reserved) ReplyType() string { return "CreditReserved" }

type limitExceeded struct{ By int }

func (*limitExceeded) ReplyType() string { return "LimitExceeded" }

type unencodable struct{ F func() }

func (unencodable) CommandType() string { return "Unencodable" }
func (unencodable) ReplyType() string   { return "Unencodable" }

type nameless struct{}

func (nameless) CommandType() string { return "no spaces" }
func (nameless) ReplyType() string   { return "no spaces" }

type (
	txn      = *memory.Tx
	receiver = command.Receiver[txn]
)

// world is a participant's database and receiver, fed by the test.
type world struct {
	t    *testing.T
	db   *memory.DB
	recv *receiver
	log  *lines

	mu    sync.Mutex
	calls []string
	// do is what handlers do with a command of a name.
	do map[string]func() (command.Answer, error)
}

// lines is a log.
type lines struct {
	mu sync.Mutex
	bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Buffer.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Buffer.String()
}

func newWorld(t *testing.T, options ...command.ReceiverOption) *world {
	w := &world{t: t, db: memory.New(), log: &lines{}, do: map[string]func() (command.Answer, error){}}
	options = append([]command.ReceiverOption{command.WithLogger(slog.New(slog.NewTextHandler(w.log, nil)))}, options...)
	w.recv = command.NewReceiver("restaurant", w.db.Outbox(), w.db.Commands(), options...)
	command.On(w.recv, customers, w.reserve)
	command.On(w.recv, kitchen, w.cook, command.Locking(func(c *cook) string { return c.Ticket }))
	return w
}

func (w *world) reserve(ctx context.Context, tx txn, c command.Of[reserve]) (command.Answer, error) {
	return w.handle(ctx, tx, c.Data.Customer, command.Succeed(reserved{Left: 100 - c.Data.Amount}))
}

func (w *world) cook(ctx context.Context, tx txn, c command.Of[*cook]) (command.Answer, error) {
	return w.handle(ctx, tx, c.Data.Dish, command.Done())
}

// handle counts an effect, and answers as the test wants.
func (w *world) handle(ctx context.Context, tx txn, name string, usual command.Answer) (command.Answer, error) {
	w.mu.Lock()
	w.calls = append(w.calls, name)
	do := w.do[name]
	w.mu.Unlock()
	before, err := tx.Get(ctx, "effect/"+name)
	if err != nil {
		return command.Answer{}, err
	}
	if err := tx.Put(ctx, "effect/"+name, before+"x"); err != nil {
		return command.Answer{}, err
	}
	if do != nil {
		return do()
	}
	return usual, nil
}

// answering makes the handlers answer so for a name.
func (w *world) answering(name string, a command.Answer, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.do[name] = func() (command.Answer, error) { return a, err }
}

func (w *world) panicking(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.do[name] = func() (command.Answer, error) { panic("no " + name) }
}

// asked compares the handlers' calls.
func (w *world) asked(want string) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if got := strings.Join(w.calls, " "); got != want {
		w.t.Errorf("handlers were called for %q, want %q", got, want)
	}
}

// effects compares the committed effects: each name with as many x as it was done.
func (w *world) effects(want ...string) {
	w.t.Helper()
	var got []string
	for key, value := range w.db.Values() {
		got = append(got, strings.TrimPrefix(key, "effect/")+" "+value)
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		w.t.Errorf("effects %q, want %q", got, want)
	}
}

// message makes a command that wants a reply.
func message(t *testing.T, p command.Participant, c command.Command, options ...command.Option) *tidings.Message {
	t.Helper()
	m, err := command.Message(p, c, append([]command.Option{command.ReplyTo("orders.replies", "o1")}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	m.Time = time.Now().UTC()
	return &m
}

func ask(name string, options ...command.Option) func(t *testing.T) *tidings.Message {
	return func(t *testing.T) *tidings.Message { return message(t, customers, reserve{name, 7}, options...) }
}

// forSaga makes a command to cook a dish, of a saga.
func (w *world) forSaga(saga, ticket, dish string) *tidings.Message {
	w.t.Helper()
	return message(w.t, kitchen, &cook{ticket, dish}, command.ForSaga(command.Saga{Type: "order", ID: saga}, "cook/1"))
}

func (w *world) unlocking(saga string) *tidings.Message {
	m := command.Unlock(kitchen, command.Saga{Type: "order", ID: saga})
	m.Time = time.Now().UTC()
	return &m
}

// handled hands a message to the receiver in a transaction.
func (w *world) handled(m *tidings.Message) error {
	w.t.Helper()
	return w.db.InTx(tidings.WithCause(w.t.Context(), m), func(ctx context.Context, tx txn) error { return w.recv.Handle(ctx, tx, m) })
}

func (w *world) handleAll(ms ...*tidings.Message) {
	w.t.Helper()
	for _, m := range ms {
		if err := w.handled(m); err != nil {
			w.t.Error(err)
		}
	}
}

// sent returns what is in an outbox.
func sent(t *testing.T, db *memory.DB) []tidings.Message {
	t.Helper()
	session, _, err := db.Relay("test").Acquire(t.Context(), "test", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := session.Read(t.Context(), relay.Query{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	var ms []tidings.Message
	for _, r := range rows {
		ms = append(ms, r.Message)
	}
	return ms
}

// replies returns the replies in the outbox.
func (w *world) replies() []command.Replied {
	w.t.Helper()
	var all []command.Replied
	for _, m := range sent(w.t, w.db) {
		r, err := command.ParseReply(&m)
		if err != nil {
			w.t.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}

// only returns the one reply in the outbox.
func (w *world) only() command.Replied {
	w.t.Helper()
	all := w.replies()
	if len(all) != 1 {
		w.t.Fatalf("%d replies: %+v", len(all), all)
	}
	return all[0]
}

// told compares the replies, each as its type and problem, in order.
func (w *world) told(want ...string) {
	w.t.Helper()
	var got []string
	for _, r := range w.replies() {
		got = append(got, strings.TrimSpace(fmt.Sprint(r.Type, " ", r.Problem())))
	}
	if !slices.Equal(got, want) {
		w.t.Errorf("replies %q, want %q", got, want)
	}
}

// expectParked compares why messages are parked.
func (w *world) expectParked(want ...string) {
	w.t.Helper()
	list, err := w.db.Admin().ListParked(w.t.Context(), admin.ParkedFilter{})
	if err != nil {
		w.t.Fatal(err)
	}
	var got []string
	for _, p := range list {
		got = append(got, p.Reason)
	}
	if !slices.Equal(got, want) {
		w.t.Errorf("parked %q, want %q", got, want)
	}
}
