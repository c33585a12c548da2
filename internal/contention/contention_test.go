package contention

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tidings.example"
	"tidings.example/admin"
	"tidings.example/broker/natsjs"
	"tidings.example/command"
	"tidings.example/inbox"
	"tidings.example/internal/connect"
	"tidings.example/internal/servertest"
	"tidings.example/internal/wait"
	"tidings.example/relay"
	"tidings.example/service"
)

// patience is how long a test waits for what must happen.
const patience = time.Minute

// cook is what the participant is asked.
type cook struct{ Ticket, Dish string }

func (*cook) CommandType() string { return "Cook" }

// real is a participant with two processes, and one who asks, on real servers.
type real struct {
	*testing.T
	db, asking *connect.Database
	broker     *connect.Broker
	kitchen    command.Participant
	replies    string

	mu       sync.Mutex
	answered map[string]int // replies by saga
}

// TestRealServers lets sagas contend for locks, repeat their commands and fail, and
// counts in the databases what was done.
func TestRealServers(t *testing.T) {
	t.Parallel()
	embedded := func(t *testing.T) *connect.Broker {
		server, err := natsjs.StartEmbedded(natsjs.EmbeddedConfig{Dir: t.TempDir(), Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { server.Close() })
		b, err := natsjs.Open(t.Context(), natsjs.Config{Server: server, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		return connect.NewNATS(b)
	}
	kafka := func(t *testing.T) *connect.Broker {
		b, err := connect.OpenBroker(t.Context(), servertest.Kafka(t), connect.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for name, c := range map[string]struct {
		broker   func(t *testing.T) *connect.Broker
		database func(t *testing.T) string
	}{
		"SQLite and NATS in the process": {embedded, func(t *testing.T) string { return "sqlite://" + filepath.Join(t.TempDir(), "test.db") }},
		"PostgreSQL and Kafka":           {kafka, func(t *testing.T) string { return servertest.PostgresSchema(t) }},
		"MariaDB and Kafka":              {kafka, func(t *testing.T) string { return servertest.MySQLDatabase(t) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			open := func() *connect.Database {
				db, err := connect.OpenDatabase(t.Context(), c.database(t), connect.Options{Create: true})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = db.Close() })
				if _, err := db.Admin.Migrate(t.Context()); err != nil {
					t.Fatal(err)
				}
				return db
			}
			r := &real{T: t, db: open(), asking: open(), broker: c.broker(t), answered: map[string]int{}}
			t.Cleanup(func() { _ = r.broker.Close() })
			run := strings.ReplaceAll(tidings.NewID(), "-", "")
			r.kitchen, r.replies = command.Participant{Name: "kitchen", Channel: "kitchen." + run}, "replies."+run
			if err := r.broker.EnsureChannels(t.Context(), r.kitchen.Channel, r.replies, "shop."+run+".replies"); err != nil {
				t.Fatal(err)
			}
			r.test("shop." + run)
		})
	}
}

func (r *real) test(shop string) {
	const sagas, targets = 42, 5
	if _, err := r.db.SQL.ExecContext(r.Context(), "CREATE TABLE effect (name VARCHAR(100) NOT NULL)"); err != nil {
		r.Fatal(err)
	}
	requests, err := command.NewRequester(command.RequesterConfig[*sql.Tx]{Name: shop, Outbox: r.asking.Outbox, Inbox: r.asking.Inbox,
		Replies: r.asking.Replies, Broker: r.broker})
	if err != nil {
		r.Fatal(err)
	}
	components := []service.Component{r.relay(r.db), r.relay(r.asking), r.orchestrator(), requests}
	for range 2 {
		components = append(components, r.participant()...)
	}
	ctx, stop := context.WithCancel(r.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	for _, c := range components {
		running.Go(func() {
			if err := c.Run(ctx); err != nil {
				r.Errorf("%s: %v", c.Name(), err)
			}
		})
	}

	sender := command.NewSender(r.asking.Outbox)
	for i := range sagas {
		id := fmt.Sprint(i)
		dish := "dish" + id
		if i%7 == 3 {
			dish = "bad" + id
		}
		err := r.asking.Commands.InTx(r.Context(), func(ctx context.Context, tx *sql.Tx) error {
			// Sent twice, as after a timeout.
			for attempt := range 2 {
				_, err := sender.Send(ctx, tx, r.kitchen, &cook{Ticket: fmt.Sprint("T", i%targets), Dish: dish}, command.ReplyTo(r.replies, id),
					command.ForSaga(command.Saga{Type: "order", ID: id}, fmt.Sprint("cook/", attempt)), command.ID("order/"+id+"/cook"), command.Repeatable())
				if err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			r.Fatal(err)
		}
	}
	reply, err := requests.Request(r.Context(), r.kitchen, &cook{Ticket: "T0", Dish: "asked"})
	if err != nil || reply.Type != command.TypeDone {
		r.Errorf("reply %+v, %v", reply, err)
	}
	if err := wait.For(r.Context(), patience, 20*time.Millisecond, func() error { return r.settled(sagas) }); err != nil {
		r.Fatal(err)
	}
	want := []string{"asked"}
	for i := range sagas {
		if i%7 != 3 {
			want = append(want, fmt.Sprint("dish", i))
		}
	}
	slices.Sort(want)
	if got := r.effects(); !slices.Equal(got, want) {
		r.Errorf("effects %q, want %q", got, want)
	}
}

// settled returns nil when every saga has two replies, nothing is locked and nothing waits.
func (r *real) settled(sagas int) error {
	r.mu.Lock()
	replies, least := len(r.answered), 2
	for _, n := range r.answered {
		least = min(least, n)
	}
	r.mu.Unlock()
	if replies != sagas || least < 2 {
		return fmt.Errorf("%d of %d sagas have replies, each %d at least", replies, sagas, least)
	}
	locks, err := r.db.Admin.ListLocks(r.Context(), admin.LockFilter{})
	if err != nil || len(locks) > 0 {
		return fmt.Errorf("locks %+v, %w", locks, err)
	}
	broken, err := r.db.Commands.Broken(r.Context(), "kitchen", 10)
	if err != nil || len(broken) > 0 {
		return fmt.Errorf("commands wait for %+v, %w", broken, err)
	}
	return nil
}

func (r *real) effects() (names []string) {
	r.Helper()
	rows, err := r.db.SQL.QueryContext(r.Context(), "SELECT name FROM effect ORDER BY name")
	if err != nil {
		r.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			r.Fatal(err)
		}
		names = append(names, name)
	}
	if err := rows.Err(); err != nil {
		r.Fatal(err)
	}
	slices.Sort(names)
	return names
}

// participant is one process of the participant.
func (r *real) participant() []service.Component {
	recv := command.NewReceiver(r.kitchen.Channel, r.db.Outbox, r.db.Commands, command.WithAttempts(2), command.WithInterval(50*time.Millisecond))
	command.On(recv, r.kitchen, func(ctx context.Context, tx *sql.Tx, c command.Of[*cook]) (command.Answer, error) {
		_, err := tx.ExecContext(ctx, "INSERT INTO effect (name) VALUES ('"+c.Data.Dish+"')")
		if err == nil && strings.HasPrefix(c.Data.Dish, "bad") {
			err = errors.New("it burns")
		}
		return command.Done(), err
	}, command.Locking(func(c *cook) string { return c.Ticket }))
	in, err := recv.Inbox(inbox.Config[*sql.Tx]{Store: r.db.Inbox, Broker: r.broker, MaxAttempts: 2, Backoff: inbox.Backoff{Initial: time.Millisecond}})
	if err != nil {
		r.Fatal(err)
	}
	return []service.Component{in, recv.Upkeep()}
}

// orchestrator ends a saga with its second reply.
func (r *real) orchestrator() service.Component {
	sender := command.NewSender(r.asking.Outbox)
	in, err := inbox.New(inbox.Config[*sql.Tx]{Subscriber: r.replies, Channels: []string{r.replies}, Store: r.asking.Inbox, Broker: r.broker,
		Handler: func(ctx context.Context, tx *sql.Tx, m *tidings.Message) error {
			reply, err := command.ParseReply(m)
			if err != nil {
				return inbox.Permanent(err)
			}
			r.mu.Lock()
			r.answered[reply.Saga.ID]++
			second := r.answered[reply.Saga.ID] >= 2
			r.mu.Unlock()
			if !second {
				return nil
			}
			return sender.Unlock(ctx, tx, r.kitchen, reply.Saga)
		}})
	if err != nil {
		r.Fatal(err)
	}
	return in
}

func (r *real) relay(db *connect.Database) service.Component {
	c, err := relay.New(relay.Config{Source: db.Relay(tidings.NewID()), Broker: r.broker})
	if err != nil {
		r.Fatal(err)
	}
	return c
}
