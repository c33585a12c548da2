package bench

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"tidings.example/broker"
	"tidings.example/internal/connect"
)

// paced appends at a steady rate, whether the relay keeps up or not, and
// measures for each message the time from the return of its commit to its
// delivery.
func (o *Options) paced(ctx context.Context, db *connect.Database, b *connect.Broker, r *Report) (err error) {
	channel := channelName("paced")
	if err := b.EnsureChannels(ctx, channel); err != nil {
		return err
	}
	p, err := startRelay(ctx, *o)
	if err != nil {
		return err
	}
	c := &arrivals{committed: map[string]time.Time{}, received: map[string]time.Time{}}
	consuming, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() {
		done <- b.Subscribe(consuming, broker.Subscription{Subscriber: channel, Channels: []string{channel}}, c.deliver)
	}()
	defer func() {
		stop()
		err = errors.Join(err, <-done)
	}()
	// One message first, so that joining a group and taking the lease are over.
	if err := o.one(ctx, db, channel, 0, c); err != nil {
		return err
	}
	if err := c.wait(ctx, time.Minute); err != nil {
		return err
	}
	c.clear()
	o.progress("appending %d messages a second for %s", o.Rate, o.For)
	if err := o.openLoop(ctx, db, channel, c); err != nil {
		return err
	}
	if err := c.wait(ctx, time.Minute); err != nil {
		return err
	}
	r.latencies(fmt.Sprintf("commit to consumer at %d/s,", o.Rate), c.latencies())
	rss, _, err := p.rss()
	if err != nil {
		return err
	}
	r.add("relay memory after that (RSS)", rss/(1<<20), "MiB")
	_, err = p.stop()
	return err
}

// openLoop starts each transaction at its due time; several run at once, so
// that a slow commit does not slow the load down.
func (o *Options) openLoop(ctx context.Context, db *connect.Database, channel string, c *arrivals) error {
	n := int(o.For.Seconds() * float64(o.Rate))
	work := make(chan int)
	failed := make(chan error, o.Workers)
	for range o.Workers {
		go func() {
			for i := range work {
				if err := o.one(ctx, db, channel, i, c); err != nil {
					failed <- err
					return
				}
			}
			failed <- nil
		}()
	}
	begin := time.Now()
	var err error
	ended := 0
feed:
	for i := range n {
		due := begin.Add(time.Duration(i) * time.Second / time.Duration(o.Rate))
		if d := time.Until(due); d > 0 {
			time.Sleep(d)
		}
		select {
		case work <- i:
		case err = <-failed:
			ended = 1
			break feed
		}
	}
	close(work)
	for ; ended < o.Workers; ended++ {
		err = errors.Join(err, <-failed)
	}
	return err
}

func (o *Options) one(ctx context.Context, db *connect.Database, channel string, i int, c *arrivals) error {
	m := o.message(channel, i)
	if err := inTx(ctx, db.SQL, func(tx *sql.Tx) error { return db.Outbox.Append(ctx, tx, m) }); err != nil {
		return err
	}
	c.commit(m.ID)
	return nil
}

// arrivals matches commits with deliveries.
type arrivals struct {
	mu        sync.Mutex
	committed map[string]time.Time
	received  map[string]time.Time
}

func (a *arrivals) commit(id string) {
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.committed[id] = now
}

func (a *arrivals) deliver(_ context.Context, d broker.Delivery) {
	now := time.Now()
	a.mu.Lock()
	if _, again := a.received[d.Message.ID]; !again {
		a.received[d.Message.ID] = now
	}
	a.mu.Unlock()
	d.Ack()
}

func (a *arrivals) clear() {
	a.mu.Lock()
	defer a.mu.Unlock()
	clear(a.committed)
	clear(a.received)
}

// wait returns when everything committed was received.
func (a *arrivals) wait(ctx context.Context, limit time.Duration) error {
	deadline := time.Now().Add(limit)
	for {
		a.mu.Lock()
		committed, received := len(a.committed), len(a.received)
		a.mu.Unlock()
		switch {
		case committed > 0 && received >= committed:
			return nil
		case time.Now().After(deadline):
			return fmt.Errorf("only %d of %d messages arrived within %s", received, committed, limit)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// latencies are zero at least: a message may be delivered before its
// committer's call has returned.
func (a *arrivals) latencies() []time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := make([]time.Duration, 0, len(a.committed))
	for id, committed := range a.committed {
		if received, ok := a.received[id]; ok {
			all = append(all, max(received.Sub(committed), 0))
		}
	}
	return all
}
