package natsjs

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"tidings.example"
	"tidings.example/broker"
)

func TestStartEmbeddedFails(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	used := startServer(t, EmbeddedConfig{})
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		config EmbeddedConfig
		want   string
	}{
		"no directory":   {EmbeddedConfig{}, "no directory"},
		"used directory": {EmbeddedConfig{Dir: used.config.Dir}, "another process uses this directory"},
		"file":           {EmbeddedConfig{Dir: filepath.Join(file, "x")}, "create directory"},
		"taken address":  {EmbeddedConfig{Dir: t.TempDir(), Addr: taken.Addr().String()}, "address already in use"},
		"bad address":    {EmbeddedConfig{Dir: t.TempDir(), Addr: "localhost"}, "write host:port"},
		"bad port":       {EmbeddedConfig{Dir: t.TempDir(), Addr: "localhost:x"}, "port"},
		"open to all":    {EmbeddedConfig{Dir: t.TempDir(), Addr: "0.0.0.0:0"}, "give a user and a password"},
		"only a user":    {EmbeddedConfig{Dir: t.TempDir(), User: "ada"}, "both user and password"},
		"long password":  {EmbeddedConfig{Dir: t.TempDir(), User: "ada", Password: strings.Repeat("x", 73)}, "password"},
		"large payload":  {EmbeddedConfig{Dir: t.TempDir(), MaxPayload: 9 << 20}, "maximum payload"},
	} {
		s, err := StartEmbedded(test.config)
		if err == nil {
			_ = s.Close()
		}
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: error is %v, want one line with %q", name, err, test.want)
		}
	}
	// A start that failed leaves nothing behind.
	dir := t.TempDir()
	if _, err := StartEmbedded(EmbeddedConfig{Dir: dir, Addr: taken.Addr().String()}); err == nil {
		t.Fatal("the server listens on a taken address")
	}
	startServer(t, EmbeddedConfig{Dir: dir})
}

// TestRestartKeepsEverything closes server and broker and starts both again:
// messages and positions are there.
func TestRestartKeepsEverything(t *testing.T) {
	t.Parallel()
	config := EmbeddedConfig{Dir: t.TempDir()}
	s := broker.Subscription{Subscriber: "sub.scriber", Channels: []string{"a.b"}}
	for round := range 3 {
		server, err := StartEmbedded(config)
		if err != nil {
			t.Fatal(err)
		}
		b := openBroker(t, Config{Server: server})
		if err := b.EnsureChannels(t.Context(), "a.b"); err != nil {
			t.Fatal(err)
		}
		publishNumbers(t, b, "a.b", round*10, 10)
		got := newTaker()
		stop := got.subscribe(t, b, s)
		got.want(t, round*10, 10)
		stop()
		if err := b.Close(); err != nil {
			t.Error(err)
		}
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	}
}

// killedVariable makes the test binary the process to be killed.
const killedVariable = "TIDINGS_NATSJS_KILLED"

func TestMain(m *testing.M) {
	if dir := os.Getenv(killedVariable); dir != "" {
		if err := publishUntilKilled(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// publishUntilKilled prints the id of each message that was acknowledged.
func publishUntilKilled(dir string) error {
	server, err := StartEmbedded(EmbeddedConfig{Dir: dir})
	if err != nil {
		return err
	}
	ctx := context.Background()
	b, err := Open(ctx, Config{Server: server})
	if err != nil {
		return err
	}
	if err := b.EnsureChannels(ctx, "c"); err != nil {
		return err
	}
	var mu sync.Mutex
	for {
		ms := make([]*tidings.Message, 100)
		for i := range ms {
			ms[i] = numbered("c", i)
			ms[i].Key = ""
		}
		b.Publish(ctx, ms, func(i int, err error) {
			if err == nil {
				mu.Lock()
				defer mu.Unlock()
				_, _ = fmt.Println(ms[i].ID)
			}
		})
	}
}

// TestKillKeepsAcknowledged kills the process that the server runs in: what it
// had acknowledged is there afterwards, and the directory can be used again.
func TestKillKeepsAcknowledged(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for range 3 {
		acknowledged := map[string]bool{}
		process := exec.CommandContext(t.Context(), os.Args[0])
		process.Env = append(os.Environ(), killedVariable+"="+dir)
		process.Stderr = os.Stderr
		output, err := process.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := process.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(output)
		for lines.Scan() {
			// The last line may be cut off by the kill.
			if id := lines.Text(); len(id) == len(tidings.NewID()) {
				acknowledged[id] = true
			}
			if len(acknowledged) == 5000 {
				if err := process.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		_ = process.Wait()
		if len(acknowledged) < 5000 {
			t.Fatalf("the process published only %d messages", len(acknowledged))
		}
		server, err := StartEmbedded(EmbeddedConfig{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		b := openBroker(t, Config{Server: server})
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		var mu sync.Mutex // partitions are delivered at the same time
		err = b.Subscribe(ctx, broker.Subscription{Subscriber: tidings.NewID(), Channels: []string{"c"}}, func(_ context.Context, d broker.Delivery) {
			mu.Lock()
			defer mu.Unlock()
			delete(acknowledged, d.Message.ID)
			d.Ack()
			if len(acknowledged) == 0 {
				cancel()
			}
		})
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		if len(acknowledged) > 0 {
			t.Fatalf("%d acknowledged messages are lost", len(acknowledged))
		}
		_ = b.Close()
		_ = server.Close()
	}
}
