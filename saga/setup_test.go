package saga_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"tidings.example/broker/inproc"
	"tidings.example/command"
	"tidings.example/inbox"
	"tidings.example/relay"
	"tidings.example/saga"
	"tidings.example/saga/machine"
	"tidings.example/service"
	"tidings.example/store/memory"
)

const patience = 20 * time.Second

// The participants of the tests' sagas, and what they can be asked.
var (
	shop = command.Participant{Name: "shop", Channel: "shop.commands"}
	bank = command.Participant{Name: "bank", Channel: "bank.commands"}
)

type reserve struct{ Order, Customer string }

func (reserve) CommandType() string { return "Reserve" }

type release struct{ Order string }

func (release) CommandType() string { return "Release" }

type charge struct{ Order string }

func (charge) CommandType() string { return "Charge" }

type reserved struct{ Left int }

func (reserved) ReplyType() string { return "Reserved" }

type refused struct{ Why string }

func (refused) ReplyType() string { return "Refused" }

// order is the data of the tests' sagas.
type order struct {
	Order, Customer, Why string
	Left                 int
}

// A world is an orchestrator and its participants, each on a database of its
// own, joined by one broker.
type world struct {
	t      *testing.T
	broker *inproc.Broker
	orders *memory.DB
	others *memory.DB
	now    func() time.Time

	observer saga.Observer
	// retention is how long sagas are kept that have ended; 0 for ever.
	retention time.Duration

	mu     sync.Mutex
	refuse map[string]string // customers whose reservation is refused, and why
}

func newWorld(t *testing.T) *world {
	return &world{t: t, broker: inproc.New(inproc.Config{}), orders: memory.New(), others: memory.New(), now: time.Now,
		refuse: map[string]string{}}
}

// manager makes a manager on the orchestrator's database.
func (w *world) manager(definitions ...saga.AnyDefinition) *saga.Manager[*memory.Tx] {
	w.t.Helper()
	m, err := saga.New(saga.Config[*memory.Tx]{Name: "orders", Store: w.orders.Sagas(), Outbox: w.orders.Outbox(), Inbox: w.orders.Inbox(),
		Broker: w.broker, Definitions: definitions, Now: w.now, Observer: w.observer, Retention: w.retention, Poll: 10 * time.Millisecond})
	if err != nil {
		w.t.Fatal(err)
	}
	return m
}

// participants make the shop and the bank.
func (w *world) participants() {
	w.t.Helper()
	recv := command.NewReceiver("others", w.others.Outbox(), w.others.Commands())
	command.On(recv, shop, w.reserve)
	command.On(recv, shop, w.release)
	command.On(recv, bank, func(ctx context.Context, tx *memory.Tx, c command.Of[charge]) (command.Answer, error) {
		return command.Done(), w.count(ctx, tx, "charged/"+c.Data.Order)
	})
	in, err := recv.Inbox(inbox.Config[*memory.Tx]{Store: w.others.Inbox(), Broker: w.broker})
	if err != nil {
		w.t.Fatal(err)
	}
	w.run(in, w.relay(w.others, "others"))
}

func (w *world) reserve(ctx context.Context, tx *memory.Tx, c command.Of[reserve]) (command.Answer, error) {
	w.mu.Lock()
	why := w.refuse[c.Data.Customer]
	w.mu.Unlock()
	if why != "" {
		return command.Fail(refused{Why: why}), nil
	}
	return command.Succeed(reserved{Left: 7}), w.count(ctx, tx, "reserved/"+c.Data.Order)
}

func (w *world) release(ctx context.Context, tx *memory.Tx, c command.Of[release]) (command.Answer, error) {
	n, err := tx.Get(ctx, "reserved/"+c.Data.Order)
	if err != nil || n == "" {
		return command.Done(), err
	}
	return command.Done(), w.count(ctx, tx, "released/"+c.Data.Order)
}

// count counts an effect in the database.
func (w *world) count(ctx context.Context, tx *memory.Tx, key string) error {
	n, err := tx.Get(ctx, key)
	if err != nil {
		return err
	}
	return tx.Put(ctx, key, n+"I")
}

func (w *world) relay(db *memory.DB, source string) service.Component {
	w.t.Helper()
	r, err := relay.New(relay.Config{Source: db.Relay(source), Broker: w.broker})
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// run runs components until the test ends.
func (w *world) run(parts ...service.Component) {
	w.t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	var all sync.WaitGroup
	for _, p := range parts {
		all.Go(func() {
			if err := p.Run(ctx); err != nil {
				w.t.Errorf("%s: %v", p.Name(), err)
			}
		})
	}
	w.t.Cleanup(func() { stop(); all.Wait() })
}

// start starts a saga in a transaction of its own.
func start[D any](w *world, m *saga.Manager[*memory.Tx], d *saga.Definition[D], id string, data D) bool {
	w.t.Helper()
	var started bool
	err := w.orders.InTx(w.t.Context(), func(ctx context.Context, tx *memory.Tx) (err error) {
		started, err = saga.Start(ctx, tx, m, d, id, data)
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return started
}

func ended[D any](w *world, m *saga.Manager[*memory.Tx], d *saga.Definition[D], id string) saga.Outcome[D] {
	w.t.Helper()
	ctx, stop := context.WithTimeout(w.t.Context(), patience)
	defer stop()
	out, err := saga.Wait(ctx, m, d, id)
	if err != nil {
		w.t.Fatalf("%v\n%s", err, w.journal(saga.Ref{Type: d.Name(), ID: id}))
	}
	return out
}

// journal is a saga's journal, a line each: what, step, text.
func (w *world) journal(ref saga.Ref) string {
	entries, err := w.orders.Admin().SagaJournal(context.Background(), ref.Type, ref.ID, 0, 1000)
	if err != nil {
		return err.Error()
	}
	var b strings.Builder
	for _, e := range entries {
		fmt.Fprintf(&b, "%s %s %s\n", e.What, e.Step, e.Text)
	}
	return b.String()
}

// until waits for a condition.
func (w *world) until(what string, holds func() bool) {
	w.t.Helper()
	deadline := time.After(patience)
	for !holds() {
		select {
		case <-deadline:
			w.t.Fatalf("waited in vain for %s", what)
		case <-time.After(2 * time.Millisecond):
		}
	}
}

func (w *world) state(ref saga.Ref) machine.State {
	r, err := w.orders.Sagas().Get(context.Background(), ref)
	if err != nil || r == nil {
		return ""
	}
	return r.State
}

var errNo = errors.New("no")
