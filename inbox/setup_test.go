package inbox_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tidings.example"
	"tidings.example/admin"
	"tidings.example/broker"
	"tidings.example/inbox"
	"tidings.example/store/memory"
)

// bench is an inbox on a store in memory, fed by the test. It lives in a
// synctest bubble: time stands still until everything waits.
type bench struct {
	t    *testing.T
	db   *memory.DB
	feed *feed
	in   *inbox.Inbox[*memory.Tx]
	log  *bytes.Buffer

	stop  context.CancelFunc
	ended chan struct{}
	err   error // what Run returned

	mu      sync.Mutex
	calls   []string // payloads that the handler was called with
	fail    map[string]error
	running map[string]chan struct{} // handlers that wait until the channel is closed
}

type config = inbox.Config[*memory.Tx]

// run starts an inbox and stops it after test.
func run(t *testing.T, cfg config, test func(b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.start(cfg)
		defer func() {
			b.stop()
			<-b.ended
		}()
		synctest.Wait()
		test(b)
	})
}

func newBench(t *testing.T) *bench {
	return &bench{t: t, db: memory.New(), feed: newFeed(), log: &bytes.Buffer{},
		fail: map[string]error{}, running: map[string]chan struct{}{}}
}

func (b *bench) start(cfg config) {
	b.t.Helper()
	cfg.Subscriber, cfg.Channels, cfg.Broker = "test", []string{"c"}, b.feed
	if cfg.Store == nil {
		cfg.Store = b.db.Inbox()
	}
	if cfg.Handler == nil {
		cfg.Handler = b.handle
	}
	cfg.Logger = slog.New(slog.NewTextHandler(b.log, nil))
	cfg.Backoff.Jitter = func(bound time.Duration) time.Duration { return bound }
	var err error
	if b.in, err = inbox.New(cfg); err != nil {
		b.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(b.t.Context())
	b.stop, b.ended = stop, make(chan struct{})
	go func() {
		defer close(b.ended)
		b.err = b.in.Run(ctx)
	}()
}

// handle appends the payload to the effects, which roll back with it.
func (b *bench) handle(ctx context.Context, tx *memory.Tx, m *tidings.Message) error {
	name := string(m.Payload)
	b.mu.Lock()
	b.calls = append(b.calls, name)
	fail, wait := b.fail[name], b.running[name]
	b.mu.Unlock()
	if wait != nil {
		select {
		case <-wait:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if err := tx.Put(ctx, "effect/"+name, m.ID); err != nil {
		return err
	}
	if text, ok := fail.(panicError); ok {
		panic(string(text))
	}
	return fail
}

type panicError string

func (p panicError) Error() string { return string(p) }

// failing makes the handler fail for a payload; nil heals it.
func (b *bench) failing(payload string, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fail[payload] = err
}

// hold makes the handler of a payload wait until the function is called.
func (b *bench) hold(payload string) (release func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	held := make(chan struct{})
	b.running[payload] = held
	return func() { close(held) }
}

// send delivers messages and waits until nothing moves any more.
func (b *bench) send(ms ...tidings.Message) {
	b.t.Helper()
	for i := range ms {
		b.feed.deliveries <- broker.Delivery{Message: ms[i]}
	}
	synctest.Wait()
}

func (b *bench) pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// expect compares the handler's calls with a list of payloads.
func (b *bench) expect(what, calls string) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if got := strings.Join(b.calls, " "); got != calls {
		b.t.Errorf("%s: called for %q, want %q", what, got, calls)
	}
}

// effects compares the committed effects with a sorted list of payloads.
func (b *bench) effects(want string) {
	b.t.Helper()
	var got []string
	for key := range b.db.Values() {
		if name, ok := strings.CutPrefix(key, "effect/"); ok {
			got = append(got, name)
		}
	}
	slices.Sort(got)
	if got := strings.Join(got, " "); got != want {
		b.t.Errorf("effects %q, want %q", got, want)
	}
}

// acked compares the ids of acknowledged messages with a sorted list.
func (b *bench) acked(want string) {
	b.t.Helper()
	if got := b.feed.ackedIDs(); got != want {
		b.t.Errorf("acknowledged %q, want %q", got, want)
	}
}

// parked returns what is parked, as payload:attempts, in order.
func (b *bench) parked() string {
	b.t.Helper()
	list, err := b.db.Admin().ListParked(b.t.Context(), admin.ParkedFilter{})
	if err != nil {
		b.t.Fatal(err)
	}
	var got []string
	for _, p := range list {
		whole, err := b.db.Admin().GetParked(b.t.Context(), p.ID)
		if err != nil {
			b.t.Fatal(err)
		}
		got = append(got, fmt.Sprintf("%s:%d", whole.Message.Payload, p.Attempts))
	}
	return strings.Join(got, " ")
}

func (b *bench) expectParked(want string) {
	b.t.Helper()
	if got := b.parked(); got != want {
		b.t.Errorf("parked %q, want %q", got, want)
	}
}

// lane returns what is recorded of a lane.
func (b *bench) lane(n int) (s inbox.LaneState) {
	b.t.Helper()
	err := b.db.InTx(b.t.Context(), func(ctx context.Context, tx *memory.Tx) error {
		r, err := b.db.Inbox().Lock(ctx, tx, "test", inbox.Want{Lanes: []tidings.Lane{{Source: "s", Epoch: "e", Channel: "c", N: n}}})
		if err == nil {
			s = r.Lanes[0]
		}
		return err
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return s
}

// msg makes message n of a lane: its key is the lane's number, its payload and
// id say both.
func msg(lane int, n uint64) tidings.Message {
	name := fmt.Sprintf("%d/%d", lane, n)
	return tidings.Message{ID: name, Source: "s", Channel: "c", Key: fmt.Sprint(lane), Type: "T", ContentType: "text/plain",
		Time: time.Now(), Payload: []byte(name), Stamp: tidings.Stamp{Epoch: "e", Lane: lane, Sequence: n}}
}

// bare makes a message without a lane.
func bare(key, id string) tidings.Message {
	m := msg(0, 0)
	m.ID, m.Key, m.Payload = id, key, []byte(id)
	return m
}

// feed is a broker that delivers what the test sends.
type feed struct {
	deliveries chan broker.Delivery
	err        chan error

	mu     sync.Mutex
	acks   []string
	revoke context.CancelFunc
}

func newFeed() *feed {
	return &feed{deliveries: make(chan broker.Delivery, 1000), err: make(chan error, 1)}
}

func (f *feed) Subscribe(ctx context.Context, _ broker.Subscription, deliver func(ctx context.Context, d broker.Delivery)) error {
	for {
		partition, revoke := context.WithCancel(ctx)
		f.mu.Lock()
		f.revoke = revoke
		f.mu.Unlock()
		for partition.Err() == nil {
			select {
			case d := <-f.deliveries:
				id := d.Message.ID
				d.Ack = func() {
					f.mu.Lock()
					defer f.mu.Unlock()
					f.acks = append(f.acks, id)
				}
				deliver(partition, d)
			case err := <-f.err:
				revoke()
				return err
			case <-partition.Done():
			}
		}
		revoke()
		if ctx.Err() != nil {
			return nil
		}
	}
}

// takeAway revokes what was delivered, as a rebalance does.
func (f *feed) takeAway() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.revoke()
}

func (f *feed) ackedIDs() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	ids := slices.Clone(f.acks)
	slices.Sort(ids)
	return strings.Join(ids, " ")
}
