package crash

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"tidings.example"
	"tidings.example/inbox"
	"tidings.example/internal/connect"
	"tidings.example/internal/servertest"
)

// patience is how long a test waits for what must happen, on a machine that has
// much else to do.
const patience = 4 * time.Minute

const (
	source     = "crash"
	subscriber = "counter"
)

// A world is one database with an outbox, two relays, a broker and a consumer.
type world struct {
	*testing.T
	ctx     context.Context
	servers *servertest.Servers
	kind    string // postgres or mariadb
	url     string // of the source, past all proxies
	channel string
	topics  *kadm.Client // Kafka's, past the relays

	db     *connect.Database // the source
	relays [2]*process
	nets   [2]*servertest.Proxy // between each relay and the database
	load   *load

	effects *connect.Database // the consumer's
}

// newWorld makes a world whose relays are not started yet. The servers are those
// of the test alone.
func newWorld(t *testing.T, servers *servertest.Servers, kind string) *world {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*patience)
	t.Cleanup(cancel)
	name := servertest.Name("crash")
	w := &world{T: t, ctx: ctx, servers: servers, kind: kind, channel: name}
	var err error
	if w.url, err = connect.EnsureDatabase(ctx, servers.URL(kind), name, connect.Options{}); err != nil {
		t.Fatal(err)
	}
	w.db = w.open(w.url)
	// The truth: what was committed, in the transaction that appended.
	w.exec(`CREATE TABLE written (message_id varchar(64) PRIMARY KEY, k varchar(64) NOT NULL, n bigint NOT NULL)`)
	client, err := kgo.NewClient(kgo.SeedBrokers(hostOf(servers.URL("kafka"))))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	w.topics = kadm.NewClient(client)
	for i := range w.relays {
		w.addRelay(i)
	}
	w.consume()
	w.load = newLoad(w)
	t.Cleanup(func() {
		for i, p := range w.relays {
			p.kill()
			if t.Failed() {
				t.Logf("relay %d said:\n%s", i, tailOf(p.log.String()))
			}
		}
	})
	return w
}

func tailOf(s string) string {
	lines := strings.Split(s, "\n")
	return strings.Join(lines[max(0, len(lines)-40):], "\n")
}

func (w *world) open(url string) *connect.Database {
	w.Helper()
	db, err := connect.OpenDatabase(w.ctx, url, connect.Options{})
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { _ = db.Close() })
	if _, err := db.Admin.Migrate(w.ctx); err != nil {
		w.Fatal(err)
	}
	return db
}

func (w *world) exec(statement string, args ...any) {
	w.Helper()
	if _, err := w.db.SQL.ExecContext(w.ctx, statement, args...); err != nil {
		w.Fatalf("%s: %v", statement, err)
	}
}

func (w *world) addRelay(i int) {
	w.Helper()
	host := hostOf(w.url)
	w.nets[i] = servertest.NewProxy(w, host)
	url := strings.Replace(w.url, host, w.nets[i].Addr(), 1)
	addr := freeAddr(w)
	w.relays[i] = &process{t: w, addr: addr, log: &syncBuffer{},
		args: []string{"relay", "--source", source, "--read", "log", "--http", addr, "--progress", "0"},
		env:  []string{"TIDINGS_STORE_URL=" + url, "TIDINGS_BROKER_URL=" + w.servers.URL("kafka")}}
}

// hostOf returns host:port of a URL.
func hostOf(url string) string {
	_, rest, _ := strings.Cut(url, "://")
	rest, _, _ = strings.Cut(rest, "/")
	if at := strings.LastIndex(rest, "@"); at >= 0 {
		rest = rest[at+1:]
	}
	if _, _, err := net.SplitHostPort(rest); err != nil {
		return rest + ":5432"
	}
	return rest
}

// consume counts effects through an inbox into a database that nobody breaks.
func (w *world) consume() {
	w.Helper()
	w.effects = w.open(servertest.PostgresSchema(w))
	if _, err := w.effects.SQL.ExecContext(w.ctx, `CREATE TABLE effect (at bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
		message_id text NOT NULL, k text NOT NULL, n bigint NOT NULL)`); err != nil {
		w.Fatal(err)
	}
	b, err := connect.OpenBroker(w.ctx, w.servers.URL("kafka"), connect.Options{})
	if err != nil {
		w.Fatal(err)
	}
	if err := b.EnsureChannels(w.ctx, w.channel); err != nil {
		w.Fatal(err)
	}
	in, err := inbox.New(inbox.Config[*sql.Tx]{Subscriber: subscriber + w.channel, Store: w.effects.Inbox, Broker: b,
		Channels: []string{w.channel}, BatchSize: 50,
		Handler: func(ctx context.Context, tx *sql.Tx, m *tidings.Message) error {
			_, err := tx.ExecContext(ctx, `INSERT INTO effect (message_id, k, n) VALUES ($1, $2, $3)`, m.ID, m.Key, m.Headers["n"])
			return err
		}})
	if err != nil {
		w.Fatal(err)
	}
	ctx, cancel := context.WithCancel(w.ctx)
	ended := make(chan error, 1)
	go func() { ended <- in.Run(ctx) }()
	w.Cleanup(func() {
		cancel()
		if err := errors.Join(<-ended, b.Close()); err != nil {
			w.Errorf("the consumer ended with %v", err)
		}
	})
}

// until waits for a condition.
func (w *world) until(what string, done func() bool) {
	w.Helper()
	w.untilFor(patience, what, done)
}

func (w *world) untilFor(limit time.Duration, what string, done func() bool) {
	w.Helper()
	if !w.within(limit, done) {
		w.Fatalf("waited %s for %s", limit, what)
	}
}

// within reports whether a condition comes to hold within a time.
func (w *world) within(limit time.Duration, holds func() bool) bool {
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for deadline := time.Now().Add(limit); !holds(); {
		if time.Now().After(deadline) {
			return false
		}
		<-ticker.C
	}
	return true
}

// pass lets time go by while the load runs: that is what some faults last.
func (w *world) pass(d time.Duration) { <-time.After(d) }

func (w *world) handled() int {
	var n int
	// The consumer's database is well all the time.
	if err := w.effects.SQL.QueryRowContext(w.ctx, `SELECT count(*) FROM effect`).Scan(&n); err != nil {
		w.Errorf("count effects: %v", err)
	}
	return n
}

// more waits until some more messages were handled.
func (w *world) more(n int) {
	w.Helper()
	to := w.handled() + n
	w.until(fmt.Sprintf("%d more effects", n), func() bool { return w.handled() >= to })
}

// leader returns the number of the relay that leads, once one does.
func (w *world) leader() int {
	w.Helper()
	leads := -1
	w.until("a leader", func() bool {
		for i, p := range w.relays {
			if p.running() && p.metric(`tidings_relay_leading`) == 1 {
				leads = i
				return true
			}
		}
		return false
	})
	return leads
}
