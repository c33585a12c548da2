package tidings_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"tidings.example/broker/natsjs"
	"tidings.example/event"
	"tidings.example/inbox"
	"tidings.example/relay"
	"tidings.example/service"
	"tidings.example/store/sqlite"
)

// What happens, and where it is told. The names are those on the wire.
var orders = event.Aggregate{Name: "Order", Channel: "orders"}

type OrderCreated struct{ CustomerID string }

func (OrderCreated) EventType() string { return "OrderCreated" }

// A service that takes orders, and counts them for each customer. SQLite and
// NATS JetStream run inside the process; another Open makes them PostgreSQL or
// Kafka.
func Example() {
	dir, err := os.MkdirTemp("", "tidings")
	check(err)
	defer os.RemoveAll(dir)
	ctx, stop := context.WithTimeout(context.Background(), 20*time.Second)
	defer stop()

	db, err := sqlite.Open(ctx, sqlite.Config{Path: filepath.Join(dir, "shop.db")})
	check(err)
	_, err = db.Admin().Migrate(ctx)
	check(err)
	_, err = db.SQL().ExecContext(ctx, `CREATE TABLE orders (id TEXT PRIMARY KEY); CREATE TABLE counts (customer TEXT PRIMARY KEY, n INTEGER)`)
	check(err)
	server, err := natsjs.StartEmbedded(natsjs.EmbeddedConfig{Dir: filepath.Join(dir, "nats")})
	check(err)
	broker, err := natsjs.Open(ctx, natsjs.Config{Server: server})
	check(err)
	check(broker.EnsureChannels(ctx, orders.Channel))

	// Receiving: the handler's transaction is the one that remembers the message.
	sub := event.NewSubscriber[*sql.Tx]("customers")
	event.On(sub, orders, func(ctx context.Context, tx *sql.Tx, e event.Of[OrderCreated]) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO counts VALUES (?, 1) ON CONFLICT DO UPDATE SET n = n + 1`, e.Data.CustomerID)
		fmt.Printf("order %s of %s arrived\n", e.AggregateID, e.Data.CustomerID)
		stop() // one is enough for an example
		return err
	})
	in, err := sub.Inbox(inbox.Config[*sql.Tx]{Store: db.Inbox(), Broker: broker})
	check(err)

	// Sending: the order and its event are committed together, or neither is.
	publisher := event.NewPublisher(orders, db.Outbox())
	tx, err := db.SQL().BeginTx(ctx, nil)
	check(err)
	_, err = tx.ExecContext(ctx, `INSERT INTO orders VALUES (?)`, "order-1")
	check(err)
	check(publisher.Publish(ctx, tx, "order-1", OrderCreated{CustomerID: "Ada"}))
	check(tx.Commit())

	// The relay carries what is committed to the broker; Run runs it all.
	r, err := relay.New(relay.Config{Source: db.Relay("shop"), Broker: broker})
	check(err)
	shop, err := service.New(service.Config{Name: "shop", Inboxes: []service.Component{in}, Relays: []service.Component{r}})
	check(err)
	check(shop.Run(ctx))
	check(broker.Close())
	check(server.Close())
	check(db.Close())
	// Output: order order-1 of Ada arrived
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
