package bench

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"tidings.example"
	"tidings.example/broker"
	"tidings.example/inbox"
	"tidings.example/internal/connect"
)

// Inbox measures how many messages a second an inbox hands to a handler that
// inserts one row, one message per transaction and several. The floors: the
// same inserts in transactions of their own, and the same messages consumed by
// nobody.
func Inbox(ctx context.Context, o Options) (r *Report, err error) {
	db, err := o.open(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	b, err := o.openBroker(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	if err := makeTable(ctx, db); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, dropTable(context.WithoutCancel(ctx), db)) }()

	channel := channelName("inbox")
	if err := b.EnsureChannels(ctx, channel); err != nil {
		return nil, err
	}
	o.progress("publishing %d messages", o.Rows)
	if err := publish(ctx, b, o.stamped(channel)); err != nil {
		return nil, err
	}
	r = newReport("inbox", db.Kind, b.Kind, "%d messages of %d bytes, %d keys, %d lanes at a time", o.Rows, o.Payload, o.Keys, o.Workers)

	started := time.Now()
	if err := o.transactions(ctx, o.Rows, o.Workers, func(i int) error {
		return inTx(ctx, db.SQL, func(tx *sql.Tx) error { return insertOne(ctx, db, tx, i) })
	}); err != nil {
		return nil, err
	}
	r.add("bare transactions", perSecond(o.Rows, time.Since(started)), "tx/s")
	rate, err := o.bareConsumer(ctx, b, channel)
	if err != nil {
		return nil, err
	}
	r.add("bare consumer", rate, "messages/s")

	single, err := o.handle(ctx, db, b, channel, 1)
	if err != nil {
		return nil, err
	}
	r.against("one message a transaction", single, "messages/s", "bare transactions")
	batched, err := o.handle(ctx, db, b, channel, o.Batch)
	if err != nil {
		return nil, err
	}
	r.against(fmt.Sprintf("up to %d messages a transaction", o.Batch), batched, "messages/s", "one message a transaction")
	return r, nil
}

// bareConsumer receives everything and acknowledges it at once.
func (o *Options) bareConsumer(ctx context.Context, b *connect.Broker, channel string) (float64, error) {
	o.progress("consuming without an inbox")
	m := newMeter(o.Rows)
	err := m.run(ctx, func(ctx context.Context) error {
		return b.Subscribe(ctx, broker.Subscription{Subscriber: channel + "-bare", Channels: []string{channel}},
			func(_ context.Context, d broker.Delivery) {
				m.count(1)
				d.Ack()
			})
	})
	return m.rate(), err
}

// handle runs an inbox with a subscriber of its own until it has handled all.
func (o *Options) handle(ctx context.Context, db *connect.Database, b *connect.Broker, channel string, batch int) (float64, error) {
	o.progress("handling, up to %d messages a transaction", batch)
	m := newMeter(o.Rows)
	in, err := inbox.New(inbox.Config[*sql.Tx]{
		Subscriber: fmt.Sprintf("%s-%d", channel, batch), Store: db.Inbox, Broker: b, Channels: []string{channel},
		Concurrency: o.Workers, BatchSize: batch,
		Handler: func(ctx context.Context, tx *sql.Tx, msg *tidings.Message) error {
			if err := insertOne(ctx, db, tx, int(msg.Stamp.Sequence)); err != nil {
				return err
			}
			m.count(1)
			return nil
		},
	})
	if err != nil {
		return 0, err
	}
	err = m.run(ctx, in.Run)
	return m.rate(), err
}

// meter counts from the first message to the n-th.
type meter struct {
	n       int64
	seen    atomic.Int64
	started atomic.Int64
	ended   time.Time
	done    chan struct{}
}

func newMeter(n int) *meter { return &meter{n: int64(n), done: make(chan struct{})} }

func (m *meter) count(n int64) {
	m.started.CompareAndSwap(0, time.Now().UnixNano())
	if m.seen.Add(n) == m.n {
		m.ended = time.Now()
		close(m.done)
	}
}

// run runs f until everything was counted.
func (m *meter) run(ctx context.Context, f func(ctx context.Context) error) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- f(ctx) }()
	select {
	case <-m.done:
		stop()
		return <-ended
	case err := <-ended:
		return errors.Join(err, fmt.Errorf("ended after %d of %d messages", m.seen.Load(), m.n))
	case <-time.After(5 * time.Minute):
		stop()
		return errors.Join(<-ended, fmt.Errorf("only %d of %d messages in 5 minutes", m.seen.Load(), m.n))
	}
}

func (m *meter) rate() float64 {
	if m.ended.IsZero() {
		return 0
	}
	return perSecond(int(m.n), m.ended.Sub(time.Unix(0, m.started.Load())))
}
