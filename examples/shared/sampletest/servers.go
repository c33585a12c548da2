package sampletest

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tidings.example/broker/natsjs"
	"tidings.example/examples/shared/system"
	"tidings.example/internal/connect"
	"tidings.example/internal/servertest"
)

// Patience is how long a test waits for what must happen, on a machine that
// has much else to do.
const Patience = 90 * time.Second

// Servers are what a system runs on: a NATS server in the process, and a
// directory for SQLite files.
type Servers struct {
	t    testing.TB
	dir  string
	nats *natsjs.Embedded
}

// NewServers starts servers that end with the test.
func NewServers(t testing.TB) *Servers {
	t.Helper()
	dir := t.TempDir()
	nats, err := natsjs.StartEmbedded(natsjs.EmbeddedConfig{Dir: filepath.Join(dir, "nats"), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nats.Close() })
	return &Servers{t: t, dir: dir, nats: nats}
}

// Broker opens a connection to the NATS server.
func (s *Servers) Broker() *connect.Broker {
	s.t.Helper()
	b, err := natsjs.Open(s.t.Context(), natsjs.Config{Server: s.nats, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = b.Close() })
	return connect.NewNATS(b)
}

// Databases opens a SQLite file for each service.
func (s *Servers) Databases(services ...string) map[string]*connect.Database {
	s.t.Helper()
	all := map[string]*connect.Database{}
	for _, name := range services {
		db, err := connect.OpenDatabase(s.t.Context(), "sqlite://"+filepath.Join(s.dir, name+".db"), connect.Options{Create: true})
		if err != nil {
			s.t.Fatal(err)
		}
		s.t.Cleanup(func() { _ = db.Close() })
		all[name] = db
	}
	return all
}

// OnKafka is a system's settings on the Kafka of the test servers, each service with a
// database of its own, whose URLs url returns.
func OnKafka(t testing.TB, d *system.Design, url func(testing.TB) string) system.Config {
	t.Helper()
	b, err := connect.OpenBroker(t.Context(), servertest.Kafka(t), connect.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	all := map[string]*connect.Database{}
	for _, name := range d.ServiceNames() {
		db, err := connect.OpenDatabase(t.Context(), url(t), connect.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
		all[name] = db
	}
	return system.Config{Broker: b, Databases: all, Prefix: servertest.Name("load") + "-", Addrs: map[string]string{system.Gateway: "127.0.0.1:0"}}
}

// Running is a system that a test has started.
type Running struct {
	*system.System
	T testing.TB
	// URL is the gateway's.
	URL string
	// Stop stops the system; it may be called twice.
	Stop func()
}

// Start runs a system until the test ends or calls Stop, and fails the test if
// it does not stop cleanly. The services that are away need not be ready.
func Start(t testing.TB, d *system.Design, cfg system.Config, away ...string) *Running {
	t.Helper()
	cfg.Logger = slog.New(slog.NewTextHandler(&testWriter{t: t}, &slog.HandlerOptions{Level: slog.LevelWarn}))
	s, err := d.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	r := &Running{System: s, T: t, Stop: sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("system ended with %v", err)
		}
	})}
	t.Cleanup(r.Stop)
	WaitFor(t, func() error {
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("system ended with %v", err)
		default:
		}
		for why, reason := range s.Ready() {
			if !slices.ContainsFunc(away, func(name string) bool { return why == system.Gateway+": service "+name }) {
				return fmt.Errorf("%s: %s", why, reason)
			}
		}
		return nil
	})
	r.URL = "http://" + s.Addr(system.Gateway)
	return r
}

// StartAll runs a whole sample in one process, on servers of its own.
func StartAll(t testing.TB, d *system.Design) *Running {
	t.Helper()
	s := NewServers(t)
	return Start(t, d, system.Config{Broker: s.Broker(), Databases: s.Databases(d.ServiceNames()...), Addrs: map[string]string{system.Gateway: "127.0.0.1:0"}})
}

// FreeAddr returns an address at which nobody listens.
func FreeAddr(t testing.TB) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// testWriter writes to the test's log, as long as the test runs.
type testWriter struct {
	t  testing.TB
	mu sync.Mutex
}

func (w *testWriter) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.t.Context().Err() == nil {
		w.t.Log(strings.TrimSpace(string(b)))
	}
	return len(b), nil
}

// WaitFor asks until there is no error, and fails the test when it loses [Patience].
func WaitFor(t testing.TB, ask func() error) {
	t.Helper()
	limit := time.NewTimer(Patience)
	defer limit.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ask()
		if err == nil {
			return
		}
		select {
		case <-limit.C:
			t.Fatalf("still after %s: %v", Patience, err)
		case <-tick.C:
		}
	}
}
