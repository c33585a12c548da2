package natsjs

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"tidings.example"
	"tidings.example/broker"
)

const patience = time.Minute

func numbered(channel string, n int) *tidings.Message {
	return &tidings.Message{ID: tidings.NewID(), Source: "test", Channel: channel, Key: "k", Type: "test.Numbered",
		Time: time.Now(), ContentType: "text/plain", Payload: []byte(strconv.Itoa(n))}
}

// publishNumbers publishes messages of one key, numbered from first.
func publishNumbers(t *testing.T, b *Broker, channel string, first, n int) {
	t.Helper()
	var all sync.WaitGroup
	all.Add(n)
	ms := make([]*tidings.Message, n)
	for i := range ms {
		ms[i] = numbered(channel, first+i)
	}
	b.Publish(t.Context(), ms, func(_ int, err error) {
		if err != nil {
			t.Errorf("publish: %v", err)
		}
		all.Done()
	})
	all.Wait()
}

// A taker acknowledges what it gets, unless it is to hold.
type taker struct {
	numbers chan int
	hold    func(n int) bool
	// ended receives when the context of a held delivery has ended.
	ended chan struct{}
	err   chan error
}

func newTaker() *taker {
	return &taker{numbers: make(chan int, 10_000), ended: make(chan struct{}, 100), err: make(chan error, 1)}
}

func (k *taker) subscribe(t *testing.T, b *Broker, s broker.Subscription) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		k.err <- b.Subscribe(ctx, s, func(ctx context.Context, d broker.Delivery) {
			n, _ := strconv.Atoi(string(d.Message.Payload))
			k.numbers <- n
			if k.hold != nil && k.hold(n) {
				<-ctx.Done()
				k.ended <- struct{}{}
				return
			}
			d.Ack()
		})
	}()
	stop = func() {
		cancel()
		select {
		case <-stopped:
		case <-time.After(patience):
			t.Error("the subscription does not end")
		}
	}
	t.Cleanup(stop)
	return stop
}

// want waits for the numbers from first, n of them, and nothing else between.
func (k *taker) want(t *testing.T, first, n int) {
	t.Helper()
	for i := range n {
		select {
		case got := <-k.numbers:
			if got != first+i {
				t.Fatalf("got number %d, want %d", got, first+i)
			}
		case err := <-k.err:
			t.Fatalf("the subscription ended with %v, waiting for number %d", err, first+i)
		case <-time.After(patience):
			t.Fatalf("waiting for number %d", first+i)
		}
	}
}

func (k *taker) wantError(t *testing.T) error {
	t.Helper()
	select {
	case err := <-k.err:
		return err
	case <-time.After(patience):
		t.Fatal("the subscription does not end")
		return nil
	}
}

// oneChannel starts a server with one channel of one partition.
func oneChannel(t *testing.T) (*embeddedServer, broker.Subscription) {
	t.Helper()
	server := startServer(t, EmbeddedConfig{Addr: "127.0.0.1:0"})
	b := openBroker(t, Config{URL: server.url(), Partitions: 1})
	if err := b.EnsureChannels(t.Context(), "c"); err != nil {
		t.Fatal(err)
	}
	return server, broker.Subscription{Subscriber: "s", Channels: []string{"c"}}
}

// TestHolderDies abandons a holder without a release: another member goes on
// from the first message that was not acknowledged, within seconds.
func TestHolderDies(t *testing.T) {
	t.Parallel()
	server, s := oneChannel(t)
	first := openBroker(t, Config{URL: server.url(), Member: "a"})
	publishNumbers(t, first, "c", 0, 20)
	dead := newTaker()
	dead.hold = func(n int) bool { return n >= 10 }
	dead.subscribe(t, first, s)
	dead.want(t, 0, 11)
	waitStored(t, first, s, 10)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	second := newTaker()
	second.subscribe(t, openBroker(t, Config{URL: server.url(), Member: "b"}), s)
	second.want(t, 10, 10)
	if took := time.Since(start); took < 2*time.Second {
		t.Errorf("the lease was taken over after %s, before its holder could be dead", took)
	} else {
		t.Logf("the lease was taken over after %s", took)
	}
	if err := dead.wantError(t); !errors.Is(err, ErrClosed) {
		t.Errorf("the abandoned subscription ended with %v", err)
	}
}

// waitStored waits until the stored position is n messages into the channel.
func waitStored(t *testing.T, b *Broker, s broker.Subscription, n uint64) {
	t.Helper()
	_, positions, err := b.buckets(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	l := &leases{kv: positions, connected: b.connected, names: b.names, subscriber: s.Subscriber}
	deadline := time.Now().Add(patience)
	for {
		found, _, err := l.read(t.Context(), place{s.Channels[0], 0})
		if err != nil {
			t.Fatal(err)
		}
		if found.Position == n {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the stored position is %d, want %d", found.Position, n)
		}
	}
}

// TestSameMemberGetsItsLeaseBack does not wait for the dead holder to be
// noticed, because it has the holder's name.
func TestSameMemberGetsItsLeaseBack(t *testing.T) {
	t.Parallel()
	server, s := oneChannel(t)
	first := openBroker(t, Config{URL: server.url(), Member: "a"})
	publishNumbers(t, first, "c", 0, 20)
	dead := newTaker()
	dead.hold = func(n int) bool { return n >= 10 }
	dead.subscribe(t, first, s)
	dead.want(t, 0, 11)
	waitStored(t, first, s, 10)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	again := newTaker()
	again.subscribe(t, openBroker(t, Config{URL: server.url(), Member: "a"}), s)
	again.want(t, 10, 10)
	if took := time.Since(start); took > (missedLimit-1)*beatTime {
		t.Errorf("it took %s to get the lease back", took)
	}
}

// TestSameMemberTwice starts two processes under one name: the older one ends
// and says why.
func TestSameMemberTwice(t *testing.T) {
	t.Parallel()
	server, s := oneChannel(t)
	older, younger := newTaker(), newTaker()
	a := openBroker(t, Config{URL: server.url(), Member: "a"})
	older.subscribe(t, a, s)
	publishNumbers(t, a, "c", 0, 1)
	older.want(t, 0, 1)
	waitStored(t, a, s, 1)
	younger.subscribe(t, openBroker(t, Config{URL: server.url(), Member: "a"}), s)
	if err := older.wantError(t); !errors.Is(err, errNameTaken) || !strings.Contains(err.Error(), "Config.Member") {
		t.Errorf("the older one ended with %v", err)
	}
	publishNumbers(t, a, "c", 1, 1)
	younger.want(t, 1, 1)
}

// TestZombie freezes the connection of a holder, which so far knows nothing of
// it. It stops by itself before another member gets its partition, cannot store
// its position when it is thawed, and goes on where it belongs.
func TestZombie(t *testing.T) {
	t.Parallel()
	server, s := oneChannel(t)
	proxy := startProxy(t, server.config.Addr)
	first := openBroker(t, Config{URL: "nats://" + proxy.address(), Member: "a"})
	publishNumbers(t, first, "c", 0, 20)
	zombie := newTaker()
	zombie.hold = func(n int) bool { return n == 10 }
	zombie.subscribe(t, first, s)
	zombie.want(t, 0, 11)
	waitStored(t, first, s, 10)
	proxy.freeze()
	second := newTaker()
	b := openBroker(t, Config{URL: server.url(), Member: "b"})
	second.hold = func(n int) bool {
		if n == 10 {
			select {
			case <-zombie.ended:
			default:
				t.Error("the new holder has the partition while the old one still delivers")
			}
		}
		return false
	}
	stopSecond := second.subscribe(t, b, s)
	second.want(t, 10, 10)
	waitStored(t, b, s, 20)
	proxy.thaw()
	publishNumbers(t, b, "c", 20, 5)
	stopSecond()
	publishNumbers(t, b, "c", 25, 5)
	// Both know of one another again; whoever owns the partition now got on.
	all := map[int]bool{}
	deadline := time.After(patience)
	for len(all) < 10 {
		var n int
		select {
		case n = <-second.numbers:
		case n = <-zombie.numbers:
		case <-deadline:
			t.Fatalf("after the thaw only %v were delivered", all)
		}
		if n < 20 {
			t.Fatalf("number %d was delivered again after it was acknowledged and stored", n)
		}
		all[n] = true
	}
}
