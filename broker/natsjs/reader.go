package natsjs

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// A reader reads the records of some subjects of one stream, in order and
// without a gap, across lost connections and restarts of the server. It keeps
// nothing on the server but a consumer that expires.
type reader struct {
	broker  *Broker
	stream  string
	subject string
	// next is the sequence to start at. 0 starts with the last record of each
	// subject, for buckets.
	next uint64
}

func (b *Broker) reader(stream, subject string, next uint64) *reader {
	return &reader{broker: b, stream: stream, subject: subject, next: next}
}

const (
	// prefetch bounds how many records are asked for ahead of time, and
	// prefetchBytes of how many bytes, unless one record may be larger.
	prefetch      = 512
	prefetchBytes = 2 << 20
	// heartbeat is how often the server shows that it still serves a reader
	// while there is nothing to read.
	heartbeat = 3 * time.Second
	// consumerTime is after which time the server forgets a reader.
	consumerTime = time.Minute
)

// read calls handle for each record until ctx is done, and then returns nil. It
// returns an error if the stream is gone or may not be read.
func (r *reader) read(ctx context.Context, handle func(record)) error {
	for attempt := 0; ; attempt++ {
		changed := r.broker.connected.wait()
		before := r.next
		err := r.consume(ctx, changed, handle)
		if ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			return &missingError{absent: true, reason: fmt.Sprintf("stream %q is gone", r.stream)}
		}
		if permanent(err) {
			return err
		}
		if r.next != before {
			attempt = 0
		}
		if attempt > 0 {
			r.broker.log.Debug("reading from NATS is interrupted", "stream", r.stream, "error", err)
		}
		if pause(ctx, attempt, changed) != nil {
			return nil
		}
	}
}

// consume reads through one consumer until something goes wrong with it, or
// with the connection: what was on its way is lost then.
func (r *reader) consume(ctx context.Context, changed <-chan struct{}, handle func(record)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-changed:
			cancel(errors.New("the connection was lost"))
		case <-ctx.Done():
		}
	}()
	defer func() { cancel(nil); <-watched }()
	consumer, err := r.create(ctx)
	if err != nil {
		return err
	}
	defer r.remove(consumer)
	var order uint64
	one := func(msg jetstream.Msg) error {
		meta, err := msg.Metadata()
		if err != nil {
			return fmt.Errorf("read a record's place: %w", err)
		}
		// The consumer numbers what it sends; a record may be lost on the way.
		if order++; meta.Sequence.Consumer != order {
			return fmt.Errorf("record %d of the consumer came in place of %d", meta.Sequence.Consumer, order)
		}
		handle(record{msg: msg, sequence: meta.Sequence.Stream, time: meta.Timestamp})
		r.next = meta.Sequence.Stream + 1
		return nil
	}
	// A record comes with its subjects, which the server's limit leaves out.
	room := max(prefetchBytes, int(r.broker.conn.MaxPayload())+64<<10)
	// handling is held while a record is handled: nothing is after stop.
	var handling sync.Mutex
	records, err := consumer.Consume(func(msg jetstream.Msg) {
		handling.Lock()
		defer handling.Unlock()
		if ctx.Err() != nil {
			return
		}
		if err := one(msg); err != nil {
			cancel(err)
		}
	},
		jetstream.PullMaxMessagesWithBytesLimit(prefetch, room),
		jetstream.PullHeartbeat(heartbeat),
		// Whatever it is, a new consumer goes on from where this one was.
		jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) { cancel(err) }),
	)
	if err != nil {
		return fmt.Errorf("start to read: %w", err)
	}
	<-ctx.Done()
	records.Stop()
	handling.Lock()
	defer handling.Unlock()
	return context.Cause(ctx)
}

func (r *reader) create(ctx context.Context) (jetstream.Consumer, error) {
	since := time.Now()
	ctx, cancel := r.broker.connected.bound(ctx, requestTime)
	defer cancel()
	c := jetstream.ConsumerConfig{
		FilterSubject:     r.subject,
		AckPolicy:         jetstream.AckNonePolicy,
		DeliverPolicy:     jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:       r.next,
		MemoryStorage:     true,
		Replicas:          1,
		InactiveThreshold: consumerTime,
	}
	if r.next == 0 {
		c.DeliverPolicy, c.OptStartSeq = jetstream.DeliverLastPerSubjectPolicy, 0
	}
	consumer, err := r.broker.js.CreateConsumer(ctx, r.stream, c)
	if err != nil {
		return nil, fmt.Errorf("create consumer: %w", r.broker.explain(err, consumerCreateSubject(r.stream), since))
	}
	return consumer, nil
}

// remove removes the consumer at once, where that is quick. Otherwise the
// server forgets it after a while.
func (r *reader) remove(c jetstream.Consumer) {
	if r.broker.conn.Status() != nats.CONNECTED {
		return
	}
	ctx, cancel := r.broker.connected.bound(context.Background(), operationTime)
	defer cancel()
	if err := r.broker.js.DeleteConsumer(ctx, r.stream, c.CachedInfo().Name); err != nil {
		r.broker.log.Debug("NATS consumer could not be removed", "stream", r.stream, "error", err)
	}
}
