package natsjs

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"golang.org/x/sync/errgroup"

	"tidings.example"
	"tidings.example/broker"
)

// Subscribe implements broker.Subscriber. Partitions are delivered each by a
// goroutine of its own. Besides what the port says it returns an error when
// another process uses the same Config.Member for the subscriber.
func (b *Broker) Subscribe(ctx context.Context, s broker.Subscription, deliver func(ctx context.Context, d broker.Delivery)) error {
	s, err := s.Complete()
	if err != nil {
		return err
	}
	name, release := b.members.take(s.Subscriber, b.config.Member)
	defer release()
	se := &session{
		broker:      b,
		subscriber:  s.Subscriber,
		name:        name,
		incarnation: tidings.NewID(),
		deliver:     deliver,
		roster:      newRoster(name),
		workers:     map[place]*worker{},
		inFlight:    make(chan struct{}, s.MaxInFlight),
		members:     make(chan memberEvent),
		taken:       make(chan leaseEvent),
		ended:       make(chan *worker),
	}
	err = se.open(ctx, s.Channels)
	if err == nil {
		err = se.run(ctx)
	}
	if err != nil {
		return fmt.Errorf("subscribe %q: %w", s.Subscriber, err)
	}
	return nil
}

// open looks everything up that the session needs. It returns nil if ctx ends.
func (se *session) open(ctx context.Context, channels []string) error {
	b := se.broker
	for _, name := range channels {
		c, err := b.channelFor(ctx, name)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		se.channels = append(se.channels, c)
	}
	for attempt := 0; ; attempt++ {
		members, positions, err := b.buckets(ctx)
		if err == nil {
			se.bucket = members
			se.leases = &leases{kv: positions, connected: b.connected, names: b.names, subscriber: se.subscriber, holder: se.name, incarnation: se.incarnation}
			return nil
		}
		if ctx.Err() != nil {
			return nil
		}
		if b.conn.IsClosed() || permanent(err) {
			return err
		}
		b.log.Warn("NATS subscription cannot start yet", "subscriber", se.subscriber, "error", err)
		if pause(ctx, attempt, b.connected.wait()) != nil {
			return nil
		}
	}
}

// watch reads both buckets until ctx is done, and tells the session's loop.
func (se *session) watch(ctx context.Context) error {
	b := se.broker
	g, ctx := errgroup.WithContext(ctx)
	read := func(bucket string, handle func(rest string, r record)) {
		prefix := bucketSubject(bucket, escape(se.subscriber)) + "."
		g.Go(func() error {
			return b.reader(bucketStream(bucket), prefix+">", 0).read(ctx, func(r record) {
				handle(strings.TrimPrefix(r.msg.Subject(), prefix), r)
			})
		})
	}
	read(b.names.membersBucket(), func(name string, r record) {
		e := memberEvent{name: unescape(name)}
		e.gone = r.msg.Headers().Get(operationHeader) != "" || json.Unmarshal(r.msg.Data(), &e.entry) != nil
		select {
		case se.members <- e:
		case <-ctx.Done():
		}
	})
	read(b.names.positionsBucket(), func(rest string, r record) {
		p, ok := parsePlace(rest)
		if !ok {
			return
		}
		e := leaseEvent{place: p, revision: r.sequence}
		// An entry that was removed or cannot be read belongs to nobody.
		_ = json.Unmarshal(r.msg.Data(), &e.lease)
		select {
		case se.taken <- e:
		case <-ctx.Done():
		}
	})
	return g.Wait()
}

type memberEvent struct {
	name  string
	entry memberEntry
	gone  bool
}

type leaseEvent struct {
	place    place
	lease    lease
	revision uint64
}
