package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"tidings.example"
	"tidings.example/broker"
	"tidings.example/broker/natsjs"
	"tidings.example/internal/connect"
	"tidings.example/internal/servertest"
)

// natsServer starts a NATS server of the test's own and returns its URL.
func natsServer(t *testing.T) string {
	t.Helper()
	s, err := natsjs.StartEmbedded(natsjs.EmbeddedConfig{Dir: t.TempDir(), Addr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return "nats://" + s.Addr()
}

// kafka returns the URL of a Kafka broker, from which these topics are removed
// after the test.
func kafka(t *testing.T, topics ...string) string {
	t.Helper()
	broker := servertest.Kafka(t)
	t.Cleanup(func() {
		client, err := kgo.NewClient(kgo.SeedBrokers(strings.TrimPrefix(broker, "kafka://")))
		if err != nil {
			t.Error(err)
			return
		}
		defer client.Close()
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if _, err := kadm.NewClient(client).DeleteTopics(ctx, topics...); err != nil {
			t.Errorf("remove topics: %v", err)
		}
	})
	return broker
}

// freeAddr returns an address that nothing listens on.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// get asks for a page and returns its status and body.
func get(t *testing.T, url string) (int, string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return response.StatusCode, string(body), err
}

// awaitPage waits until a page answers with this status and text.
func awaitPage(t *testing.T, url string, status int, text string) {
	t.Helper()
	eventually(t, fmt.Sprintf("%s answers %d %q", url, status, text), func() error {
		got, body, err := get(t, url)
		if err == nil && (got != status || !strings.Contains(body, text)) {
			err = fmt.Errorf("%d %s", got, body)
		}
		return err
	})
}

// receiver collects the messages of a channel.
type receiver struct {
	mu       sync.Mutex
	messages []tidings.Message
}

func receive(t *testing.T, url, channel string) *receiver {
	t.Helper()
	b, err := connect.OpenBroker(t.Context(), url, connect.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.EnsureChannels(t.Context(), channel); err != nil {
		t.Fatal(err)
	}
	r := &receiver{}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- b.Subscribe(ctx, broker.Subscription{Subscriber: servertest.Name("test"), Channels: []string{channel}},
			func(_ context.Context, d broker.Delivery) {
				r.mu.Lock()
				r.messages = append(r.messages, d.Message)
				r.mu.Unlock()
				d.Ack()
			})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("subscribe: %v", err)
		}
		_ = b.Close()
	})
	return r
}

// await waits until n messages have come and returns all.
func (r *receiver) await(t *testing.T, n int) []tidings.Message {
	t.Helper()
	var all []tidings.Message
	eventually(t, fmt.Sprintf("%d messages arrive", n), func() error {
		r.mu.Lock()
		defer r.mu.Unlock()
		if all = append(all[:0], r.messages...); len(all) < n {
			return fmt.Errorf("%d have come", len(all))
		}
		return nil
	})
	return all
}

// TestRelayForPlainSQL: rows that another language inserts reach the broker, in
// order per key, and are then gone; a bad row is set aside, and its key waits.
func TestRelayForPlainSQL(t *testing.T) {
	t.Parallel()
	for kind, brokerURL := range map[string]func(t *testing.T, channel string) string{
		"nats":  func(t *testing.T, _ string) string { return natsServer(t) },
		"kafka": func(t *testing.T, channel string) string { return kafka(t, channel) },
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			eachStore(t, func(t *testing.T, url string) {
				channel := servertest.Name("orders")
				relayPlainSQL(t, url, brokerURL(t, channel), channel)
			})
		})
	}
}

func relayPlainSQL(t *testing.T, storeURL, brokerURL, channel string) {
	addr := freeAddr(t)
	mustRun(t, "migrate", "up", "--store-url", storeURL)
	for i := range 20 {
		insert(t, storeURL, channel, fmt.Sprint("key", i%2), "OrderCreated", fmt.Sprintf(`{"n":%d}`, i))
	}
	insert(t, storeURL, channel, "bad", "Order Created", `{}`) // a type without spaces is required
	insert(t, storeURL, channel, "bad", "OrderCreated", `{}`)
	insert(t, storeURL, channel, "large", "OrderCreated", `"`+strings.Repeat("x", 3<<20)+`"`)
	insert(t, storeURL, strings.Repeat("c", 201), "long", "OrderCreated", `{}`)
	arrived := receive(t, brokerURL, channel)

	p := invocation{env: []string{"TIDINGS_STORE_URL=" + storeURL, "TIDINGS_BROKER_URL=" + brokerURL, "TIDINGS_HTTP=" + addr},
		args: []string{"relay", "--source", "shop", "--channel", channel, "--progress", "100ms"}}.start(t)
	last := map[string]int{"key0": -1, "key1": -1}
	for _, m := range arrived.await(t, 20) {
		var payload struct{ N int }
		if err := json.Unmarshal(m.Payload, &payload); err != nil {
			t.Fatal(err)
		}
		if m.Source != "shop" || m.Type != "OrderCreated" || m.Stamp.Sequence == 0 || m.ContentType != "application/json" {
			t.Errorf("a message arrived as %+v", m)
		}
		if payload.N <= last[m.Key] {
			t.Errorf("number %d of %s came after %d", payload.N, m.Key, last[m.Key])
		}
		last[m.Key] = payload.N
	}
	base := "http://" + addr
	awaitPage(t, base+"/healthz", http.StatusOK, "ok")
	awaitPage(t, base+"/readyz", http.StatusOK, "true")
	awaitPage(t, base+"/metrics", http.StatusOK, `tidings_relay_published_messages_total{source="shop"} 20`)
	eventually(t, "the outbox is empty", func() error {
		backlog := decode[backlogJSON](t, mustRun(t, "outbox", "--store-url", storeURL, "-o", "json"))
		if backlog.Rows != 0 || backlog.SetAside != 4 || backlog.Source != "shop" || backlog.Holder == "" {
			return fmt.Errorf("it is %+v", backlog)
		}
		return nil
	})
	p.await("relay publishes")
	settleBadRow(t, storeURL, channel)
	if all := arrived.await(t, 21); all[20].Key != "bad" {
		t.Errorf("after the bad row was discarded %+v came", all[20])
	}

	p.signal(syscall.SIGTERM)
	if code := p.end(); code != exitDone {
		t.Errorf("after SIGTERM the exit code is %d", code)
	}
	if out := mustRun(t, "outbox", "--store-url", storeURL); !strings.Contains(out, "nobody leads") {
		t.Errorf("after a clean stop the lease is still held:\n%s", out)
	}
}

// settleBadRow discards the row whose type has a space; the one behind it then goes on.
func settleBadRow(t *testing.T, storeURL, channel string) {
	t.Helper()
	type listJSON struct {
		SetAside []setAsideJSON `json:"setAside"`
	}
	rows := decode[listJSON](t, mustRun(t, "outbox", "list", "--store-url", storeURL, "-o", "json")).SetAside
	if len(rows) != 4 || rows[0].Message.Type != "Order Created" || rows[0].Message.Channel != channel {
		t.Fatalf("set aside are %+v", rows)
	}
	for i, want := range []string{"type", "behind", "too large", "channel"} {
		if !strings.Contains(rows[i].Reason, want) {
			t.Errorf("row %d was set aside because %q, want %q", i, rows[i].Reason, want)
		}
	}
	if out := mustRun(t, "outbox", "list", "--store-url", storeURL); !strings.Contains(out, "Order Created") {
		t.Errorf("the list is:\n%s", out)
	}
	mustRun(t, "outbox", "discard", fmt.Sprint(rows[0].Position), "--store-url", storeURL, "--reason", "never a type")
}

func TestRelayNeedsItsServers(t *testing.T) {
	t.Parallel()
	nats, url, absent := natsServer(t), migrated(t), freeAddr(t)
	relay := func(store, broker string, more ...string) result {
		return invoke(t, append([]string{"relay", "--source", "s", "--store-url", store, "--broker-url", broker}, more...)...)
	}
	relay("sqlite:"+filepath.Join(t.TempDir(), "none.db"), nats).fails(t, exitFailed, "none.db", "does not exist")
	relay(url, "nats://user:s3cr3t@"+absent).fails(t, exitFailed, "nats://user:xxxxx@"+absent, "no servers available")
	if r := relay(url, "nats://"+absent, "--wait", "1s"); r.code != exitFailed || !strings.Contains(r.stderr, "not there yet, waiting") {
		t.Errorf("with --wait: %+v", r)
	}

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	r := relay(url, nats, "--http", l.Addr().String(), "--log-level", "error")
	r.fails(t, exitFailed, l.Addr().String(), "address already in use", "--http")

	empty := "sqlite:" + filepath.Join(t.TempDir(), "empty.db")
	if err := os.WriteFile(strings.TrimPrefix(empty, "sqlite:"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	relay(empty, nats).fails(t, exitFailed, "tables of Tidings are missing", "tidings migrate up")
}

// TestRelayStopsWhileItWaits: a signal during the start is a clean stop.
func TestRelayStopsWhileItWaits(t *testing.T) {
	t.Parallel()
	p := invocation{args: []string{"relay", "--source", "s", "--store-url", migrated(t), "--broker-url", "nats://" + freeAddr(t), "--wait", "10m"}}.start(t)
	p.await("not there yet, waiting")
	p.signal(os.Interrupt)
	if code := p.end(); code != exitDone {
		t.Errorf("the exit code is %d", code)
	}
}

// TestAnotherRelayTakesOver: two relays of one outbox, the leader is killed.
func TestAnotherRelayTakesOver(t *testing.T) {
	t.Parallel()
	nats, url := natsServer(t), migrated(t)
	arrived := receive(t, nats, "orders")
	args := []string{"relay", "--source", "s", "--store-url", url, "--broker-url", nats, "--lease", "1s"}
	first := invocation{args: args}.start(t)
	first.await("relay leads")
	second := invocation{args: args}.start(t)
	second.await("service started")
	insert(t, url, "orders", "1", "OrderCreated", "{}")
	arrived.await(t, 1)
	first.signal(os.Kill)
	insert(t, url, "orders", "1", "OrderCreated", "{}")
	second.await("relay leads")
	arrived.await(t, 2)
}
