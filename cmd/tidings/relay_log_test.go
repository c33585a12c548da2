package main

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"

	"tidings.example/internal/connect"
	"tidings.example/internal/servertest"
)

// eachLog runs a test on an empty database of each kind that has a log.
func eachLog(t *testing.T, test func(t *testing.T, url string)) {
	t.Helper()
	for kind, newURL := range map[string]func(t *testing.T) string{
		"postgres": func(t *testing.T) string { return servertest.PostgresDatabase(t) },
		"mysql":    func(t *testing.T) string { return servertest.MySQLDatabase(t) },
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			url := newURL(t)
			mustRun(t, "migrate", "up", "--store-url", url)
			test(t, url)
		})
	}
}

// awaitStatus waits until the status is as wanted, and returns it.
func awaitStatus(t *testing.T, url, what string, wanted func(s relayStatusJSON) bool) relayStatusJSON {
	t.Helper()
	var s relayStatusJSON
	eventually(t, what, func() error {
		s = decode[relayStatusJSON](t, invoke(t, "relay", "status", "--store-url", url, "-o", "json").stdout)
		if !wanted(s) {
			return fmt.Errorf("it is %+v, %+v", s, s.Log)
		}
		return nil
	})
	return s
}

// TestRelayReadsTheLog: from the first message to the last, with both changes in
// between, as an operator makes and sees them.
func TestRelayReadsTheLog(t *testing.T) {
	t.Parallel()
	eachLog(t, func(t *testing.T, url string) {
		channel, broker, addr := servertest.Name("orders"), natsServer(t), freeAddr(t)
		invoke(t, "relay", "status", "--store-url", url).fails(t, exitNegative, "nobody leads", "tidings relay")
		arrived := receive(t, broker, channel)
		insert(t, url, channel, "k", "Counted", "0")

		p := invocation{env: []string{"TIDINGS_STORE_URL=" + url, "TIDINGS_BROKER_URL=" + broker, "TIDINGS_READ=log"},
			args: []string{"relay", "--source", "shop", "--channel", channel, "--http", addr}}.start(t)
		arrived.await(t, 1)
		s := awaitStatus(t, url, "the log is read", func(s relayStatusJSON) bool {
			return s.Reading == "log" && s.Asked == "" && s.Log != nil && s.Log.Position != "" && s.Rows == 0
		})
		if s.Role != "leading" || s.Holder == "" || s.Source != "shop" || s.Epoch == "" || s.Log.Lost != "" {
			t.Errorf("status is %+v, %+v", s, s.Log)
		}
		insert(t, url, channel, "k", "Counted", "1")
		arrived.await(t, 2)
		if out := mustRun(t, "relay", "status", "--store-url", url); !strings.Contains(out, "the log") || !strings.Contains(out, "leads") {
			t.Errorf("status is\n%s", out)
		}
		awaitPage(t, "http://"+addr+"/metrics", 200, `tidings_relay_reading_log{source="shop"} 1`)
		awaitPage(t, "http://"+addr+"/readyz", 200, "true")
		invoke(t, "relay", "drop-log", "--store-url", url, "--reason", "test").fails(t, exitNegative, "in use", "tidings relay switch --to table")

		for i, to := range []string{"table", "log"} {
			if out := mustRun(t, "relay", "switch", "--to", to, "--reason", "test", "--store-url", url); !strings.Contains(out, "read from the "+to) {
				t.Errorf("switch says\n%s", out)
			}
			insert(t, url, channel, "k", "Counted", fmt.Sprint(i+2))
			arrived.await(t, i+3)
		}
		// The last one may have come from the table, before the first checkpoint.
		awaitStatus(t, url, "the log is read again", func(s relayStatusJSON) bool { return s.Log != nil && s.Log.Position != "" && s.Rows == 0 })
		p.signal(syscall.SIGTERM)
		if code := p.end(); code != exitDone {
			t.Errorf("after SIGTERM the exit code is %d", code)
		}
		var payloads []string
		for _, m := range arrived.await(t, 4) {
			payloads = append(payloads, string(m.Payload))
		}
		if !slices.Equal(payloads, []string{"0", "1", "2", "3"}) {
			t.Errorf("what arrived is %q", payloads)
		}
		invoke(t, "relay", "status", "--store-url", url).fails(t, exitNegative, "nobody leads")
		invoke(t, "relay", "switch", "--to", "table", "--reason", "test", "--wait", "300ms", "--store-url", url).
			fails(t, exitNegative, "nobody leads", "when a relay starts")
		if s := awaitStatus(t, url, "the wish stays", func(s relayStatusJSON) bool { return s.Asked == "table" }); s.Reading != "log" {
			t.Errorf("without a relay the reading became %q", s.Reading)
		}
		dropLog(t, url)
	})
}

// dropLog frees what the server keeps; it takes a moment to see that a relay has gone.
func dropLog(t *testing.T, url string) {
	t.Helper()
	if kind, _ := connect.DatabaseKind(url); kind != "postgres" {
		return
	}
	eventually(t, "the slot is dropped", func() error {
		if r := invoke(t, "relay", "drop-log", "--store-url", url, "--reason", "test"); r.code != exitDone {
			return fmt.Errorf("%d: %s", r.code, r.stderr)
		}
		return nil
	})
	invoke(t, "relay", "drop-log", "--store-url", url, "--reason", "test").fails(t, exitNegative, "keeps no log")
	invoke(t, "relay", "status", "--store-url", url).fails(t, exitNegative, "lost", "missing")
}

// TestNoLog: what SQLite cannot do is said before anything is tried.
func TestNoLog(t *testing.T) {
	t.Parallel()
	url := migrated(t)
	for _, args := range [][]string{
		{"relay", "switch", "--to", "log", "--reason", "test"},
		{"relay", "drop-log", "--reason", "test"},
	} {
		invoke(t, append(args, "--store-url", url)...).fails(t, exitFailed, "no commit log", "PostgreSQL")
	}
	invoke(t, "relay", "--source", "shop", "--read", "log", "--store-url", url, "--broker-url", "nats://127.0.0.1:1").
		fails(t, exitUsage, "--read log", "no commit log")
	r := invoke(t, "relay", "status", "--store-url", url, "-o", "json")
	if s := decode[relayStatusJSON](t, r.stdout); r.code != exitNegative || s.Reading != "table" || s.Log != nil {
		t.Errorf("status is %d, %+v", r.code, s)
	}
	invoke(t, "relay", "--source", "shop", "--pprof", "0.0.0.0:6060", "--store-url", url, "--broker-url", "nats://127.0.0.1:1").
		fails(t, exitUsage, "--pprof", "127.0.0.1")
	invoke(t, "relay", "switch", "--reason", "test", "--store-url", url).fails(t, exitUsage, "--to")
}
