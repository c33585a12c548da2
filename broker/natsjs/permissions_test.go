package natsjs

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"tidings.example/broker"
)

// The permissions that docs/formats/nats.md lists.
var (
	publisherMay = []string{
		"$JS.API.INFO", "$JS.API.STREAM.INFO.*", "tidings.>",
	}
	subscriberMay = []string{
		"$JS.API.INFO", "$JS.API.STREAM.INFO.*",
		"$JS.API.CONSUMER.CREATE.*.>", "$JS.API.CONSUMER.DELETE.*.*", "$JS.API.CONSUMER.MSG.NEXT.*.*",
		"$JS.API.DIRECT.GET.KV_tidings_members.>", "$JS.API.DIRECT.GET.KV_tidings_positions.>",
		"$KV.tidings_members.>", "$KV.tidings_positions.>",
	}
)

// TestLeastPrivilege runs a publisher and a subscriber with no more rights than
// they need, and one with none.
func TestLeastPrivilege(t *testing.T) {
	t.Parallel()
	user := func(name string, may ...string) *server.User {
		return &server.User{Username: name, Password: "x", Permissions: &server.Permissions{
			Publish:   &server.SubjectPermission{Allow: may},
			Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX.>"}},
		}}
	}
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoLog: true, NoSigs: true,
		Users: []*server.User{
			{Username: "admin", Password: "x"},
			user("publisher", publisherMay...), user("subscriber", subscriberMay...),
			user("nobody", "$JS.API.INFO"), user("nothing", "other"),
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(patience) {
		t.Fatal("the server does not start")
	}
	as := func(name string) Config { return Config{URL: "nats://" + name + ":x@" + s.Addr().String()} }

	admin := openBroker(t, as("admin"))
	if err := admin.EnsureChannels(t.Context(), "c"); err != nil {
		t.Fatal(err)
	}
	publishNumbers(t, openBroker(t, as("publisher")), "c", 0, 10)
	subscription := broker.Subscription{Subscriber: "s", Channels: []string{"c"}}
	got := newTaker()
	stop := got.subscribe(t, openBroker(t, as("subscriber")), subscription)
	got.want(t, 0, 10)
	stop()
	if err := got.wantError(t); err != nil {
		t.Errorf("the subscription ended with %v", err)
	}

	var attempts sync.WaitGroup
	// Who lacks a permission hears so, and does not wait for ever.
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	nobody, wrong := openBroker(t, as("nobody")), openBroker(t, as("subscriber"))
	for what, try := range map[string]func() error{
		"Open": func() error {
			b, err := Open(ctx, as("nothing"))
			if err == nil {
				_ = b.Close()
			}
			return err
		},
		"Publish": func() error { return publishOne(wrong, numbered("c", 0)) },
		"Subscribe": func() error {
			return nobody.Subscribe(ctx, subscription, func(context.Context, broker.Delivery) {})
		},
	} {
		attempts.Go(func() {
			err := try()
			if err == nil || !strings.Contains(strings.ToLower(err.Error()), "permissions violation") {
				t.Errorf("without permission %s gave %v", what, err)
			}
		})
	}
	attempts.Wait()
}
