package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"time"

	"tidings.example"
	"tidings.example/internal/connect"
)

// Options are the settings of all benchmarks; each reads those that it needs.
type Options struct {
	StoreURL  string
	BrokerURL string
	// Rows is the amount of work: rows, messages or transactions.
	Rows int
	// Payload is the size of one message's payload, in bytes.
	Payload int
	Keys    int
	// Rate, in messages a second, for For: an open loop. 0: no such part.
	Rate int
	For  time.Duration
	// Workers run transactions at the same time.
	Workers int
	// Batch is how many messages share a transaction where batches are measured.
	Batch int
	// Waiting is how many sagas wait while the CPU time is read; 0: no such part.
	Waiting int
	// Read is where the relay reads rows from: "table", "log", or empty for what
	// the database says.
	Read string
	// Append is the way to append: "table", "delete", "log", or empty for what the
	// URL says.
	Append string
	// Kill measures what comes after a kill -9 in mid-drain too.
	Kill bool
	// Progress gets a line now and then.
	Progress io.Writer
}

// sourceName is the outbox's source while it is measured.
const sourceName = "tidings-bench"

// Validate names the option that is wrong.
func (o *Options) Validate() error {
	switch {
	case o.StoreURL == "":
		return errors.New("the database's URL is missing: use --store-url or TIDINGS_STORE_URL")
	case o.Rows < 1:
		return errors.New("--rows must be positive")
	case o.Payload < 2 || o.Payload > 512<<10:
		return errors.New("--payload must be from 2 to 524288 bytes")
	case o.Keys < 1:
		return errors.New("--keys must be positive")
	case o.Rate < 0 || o.Rate > 0 && o.For <= 0:
		return errors.New("--rate must be positive and needs --for")
	case o.Workers < 1 || o.Batch < 1:
		return errors.New("--workers and --batch must be positive")
	}
	return nil
}

func (o *Options) progress(format string, args ...any) {
	if o.Progress != nil {
		_, _ = fmt.Fprintf(o.Progress, format+"\n", args...)
	}
}

// message makes the i-th message of a benchmark.
func (o *Options) message(channel string, i int) tidings.Message {
	return tidings.Message{
		ID: tidings.NewID(), Channel: channel, Key: fmt.Sprintf("key-%d", i%o.Keys), Type: "BenchEvent",
		Time: time.Now().UTC().Truncate(time.Microsecond), ContentType: "application/json", Payload: o.payload(),
	}
}

// payload is JSON of exactly the wanted size that does not compress to nothing.
func (o *Options) payload() []byte {
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789"
	var b strings.Builder
	b.Grow(o.Payload)
	b.WriteByte('"')
	for b.Len() < o.Payload-1 {
		b.WriteByte(letters[rand.IntN(len(letters))])
	}
	b.WriteByte('"')
	return []byte(b.String())
}

// channelName is new for every run, so that runs do not see each other's messages.
func channelName(bench string) string {
	id := tidings.NewID()
	return "tidings-bench-" + bench + "-" + id[len(id)-8:]
}

// open connects to the store, makes its tables and sees that the outbox is empty.
func (o *Options) open(ctx context.Context) (*connect.Database, error) {
	db, err := connect.OpenDatabase(ctx, o.StoreURL, connect.Options{Create: true})
	if err != nil {
		return nil, err
	}
	if err := prepare(ctx, db); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

func prepare(ctx context.Context, db *connect.Database) error {
	if _, err := db.Admin.Migrate(ctx); err != nil {
		return err
	}
	backlog, err := db.Admin.Backlog(ctx)
	if err != nil {
		return err
	}
	if backlog.Rows > 0 || backlog.Source != "" && backlog.Source != sourceName {
		return fmt.Errorf("the database's outbox is in use (%d rows, source %q): measure in a database of its own", backlog.Rows, backlog.Source)
	}
	return nil
}

func (o *Options) openBroker(ctx context.Context) (*connect.Broker, error) {
	if o.BrokerURL == "" {
		return nil, errors.New("the broker's URL is missing: use --broker-url or TIDINGS_BROKER_URL")
	}
	return connect.OpenBroker(ctx, o.BrokerURL, connect.Options{})
}
