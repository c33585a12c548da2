package bench

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"tidings.example"
	"tidings.example/broker"
	"tidings.example/internal/connect"
	"tidings.example/relay"
)

// Relay measures a relay process: how fast it drains an outbox that was filled
// before, and, with Rate, how long a message takes from its commit to a
// consumer at that rate. Beside it, in the same run: the outbox read and thrown
// away, or the log read, decoded and thrown away, and the same messages handed to
// the broker without a relay. With Kill, also what comes after a kill -9.
func Relay(ctx context.Context, o Options) (r *Report, err error) {
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
	defer func() { err = errors.Join(err, forget(context.WithoutCancel(ctx), db)) }()
	reading, err := o.settleReading(ctx, db)
	if err != nil {
		return nil, err
	}
	r = newReport("relay", db.Kind, b.Kind, "%d rows of %d bytes, %d keys, then %d/s for %s, read from the %s",
		o.Rows, o.Payload, o.Keys, o.Rate, o.For, reading)
	if err := o.drain(ctx, db, b, r, reading); err != nil {
		return nil, err
	}
	if o.Rate > 0 {
		if err := o.paced(ctx, db, b, r); err != nil {
			return nil, err
		}
	}
	if o.Kill {
		if err := o.kills(ctx, db, b, r); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// drain fills the outbox, takes the floors and times the relay.
func (o *Options) drain(ctx context.Context, db *connect.Database, b *connect.Broker, r *Report, reading relay.Reading) error {
	channel := channelName("drain")
	floor := channelName("floor")
	if err := b.EnsureChannels(ctx, channel, floor); err != nil {
		return err
	}
	rate, err := o.bareProducer(ctx, b, floor)
	if err != nil {
		return err
	}
	r.add("bare producer", rate, "rows/s")
	if err := o.fill(ctx, db, channel); err != nil {
		return err
	}
	read, reader := o.bareReader, "bare reader"
	if reading == relay.FromLog {
		read, reader = o.bareLogReader, "bare log reader"
	}
	if rate, err = read(ctx, db); err != nil {
		return err
	}
	r.add(reader, rate, "rows/s")

	o.progress("draining")
	// The clock starts when the first rows have gone, so that connecting is
	// not measured, and stops when the last are.
	p, err := startRelay(ctx, *o)
	if err != nil {
		return err
	}
	first, started, err := p.waitPublished(ctx, 1)
	if err != nil {
		return err
	}
	_, ended, err := p.waitPublished(ctx, o.Rows)
	if err != nil {
		return err
	}
	rss, peak, err := p.rss()
	if err != nil {
		return err
	}
	cpu, err := p.stop()
	if err != nil {
		return err
	}
	r.against("drained", perSecond(o.Rows-first, ended.Sub(started)), "rows/s", reader)
	r.add("relay memory (RSS)", rss/(1<<20), "MiB")
	r.add("relay memory, the highest (RSS)", peak/(1<<20), "MiB")
	r.add("relay CPU per 100,000 rows", cpu.Seconds()*100_000/float64(o.Rows), "s")
	return nil
}

// fill appends the rows in transactions of 500.
func (o *Options) fill(ctx context.Context, db *connect.Database, channel string) error {
	o.progress("appending %d rows", o.Rows)
	for from := 0; from < o.Rows; from += 500 {
		ms := make([]tidings.Message, 0, 500)
		for i := from; i < min(from+500, o.Rows); i++ {
			ms = append(ms, o.message(channel, i))
		}
		err := inTx(ctx, db.SQL, func(tx *sql.Tx) error { return db.Outbox.Append(ctx, tx, ms...) })
		if err != nil {
			return err
		}
	}
	return nil
}

// bareReader reads the outbox as a relay does, and throws the rows away.
func (o *Options) bareReader(ctx context.Context, db *connect.Database) (rate float64, err error) {
	o.progress("reading without publishing")
	session, _, err := db.Relay(sourceName).Acquire(ctx, "bench-reader", 10*time.Second)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, session.Release(ctx)) }()
	started, n := time.Now(), 0
	for after := int64(0); ; {
		rows, err := session.Read(ctx, relay.Query{After: after, Limit: 2000})
		if err != nil {
			return 0, err
		}
		if len(rows) == 0 {
			return perSecond(n, time.Since(started)), nil
		}
		after = rows[len(rows)-1].Position
		n += len(rows)
	}
}

// bareProducer hands messages to the broker with nothing before it.
func (o *Options) bareProducer(ctx context.Context, b *connect.Broker, channel string) (float64, error) {
	o.progress("producing without a relay")
	ms := o.stamped(channel)
	started := time.Now()
	if err := publish(ctx, b, ms); err != nil {
		return 0, err
	}
	return perSecond(len(ms), time.Since(started)), nil
}

// stamped makes Rows messages with the numbers that a relay would give them.
func (o *Options) stamped(channel string) []*tidings.Message {
	counters := make([]uint64, tidings.DefaultLanes)
	epoch := tidings.NewID()
	ms := make([]*tidings.Message, o.Rows)
	for i := range ms {
		m := o.message(channel, i)
		lane := tidings.LaneOf(m.OrderingKey(), tidings.DefaultLanes)
		counters[lane]++
		m.Source, m.Stamp = sourceName, tidings.Stamp{Epoch: epoch, Lane: lane, Sequence: counters[lane]}
		ms[i] = &m
	}
	return ms
}

func publish(ctx context.Context, b broker.Publisher, ms []*tidings.Message) error {
	var wait sync.WaitGroup
	var once sync.Once
	var failure error
	for from := 0; from < len(ms); from += 2000 {
		part := ms[from:min(from+2000, len(ms))]
		wait.Add(len(part))
		b.Publish(ctx, part, func(_ int, err error) {
			if err != nil {
				once.Do(func() { failure = err })
			}
			wait.Done()
		})
	}
	wait.Wait()
	if failure != nil {
		return fmt.Errorf("publish: %w", failure)
	}
	return nil
}

func inTx(ctx context.Context, db *sql.DB, fn func(tx *sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	if err := fn(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}
