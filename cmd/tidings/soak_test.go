package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tidings.example/internal/servertest"
	"tidings.example/internal/soak"
)

// The guarantees, on real processes and servers that are killed under load. The
// seed is fixed, so that the plan of kills is; what happens at each kill is not.
// `tidings soak --for 1h` is the long version.
func TestSoak(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, style, store, broker string }{
		{"SQLite and NATS", choreography, "", ""},
		{"PostgreSQL and Kafka", choreography, "postgres", "kafka"},
		{"MariaDB and Kafka", choreography, "mariadb", "kafka"},
		{"sagas on SQLite and NATS", orchestration, "", ""},
		{"sagas on PostgreSQL and Kafka", orchestration, "postgres", "kafka"},
		{"sagas on MariaDB and Kafka", orchestration, "mariadb", "kafka"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel() // most of the time is the load's, which is a small one
			dir := t.TempDir()
			i := invocation{dir: dir, args: []string{"soak", "--style", test.style, "--for", "25s", "--every", "1500ms", "--rate", "40", "--seed", "20",
				"--dir", filepath.Join(dir, "soak"), "--settle", "5m", "--output", "json"}}
			if test.style == orchestration {
				// Little credit, so that a third of the sagas and more compensate, however few orders a busy machine takes.
				i.args = append(i.args, "--customers", "4")
			}
			if test.store != "" {
				servers := servertest.Private(t, test.store, test.broker)
				i.args = append(i.args, "--servers", servers.Script(), "--kill", test.store, "--kill", test.broker)
				i.env = append(slices.DeleteFunc(servers.Environment(), func(s string) bool { return !strings.HasPrefix(s, "TIDINGS_SERVERS") && !strings.Contains(s, "_PORT=") }),
					"TIDINGS_STORE_URL="+servers.URL(test.store), "TIDINGS_BROKER_URL="+servers.URL(test.broker))
			}
			r := i.runWithin(t, soakPatience)
			var counts soak.Counts
			if err := json.Unmarshal([]byte(r.stdout), &counts); err != nil || r.code != exitDone {
				t.Fatalf("exit code %d (%v)\n%s\n%s\n%s", r.code, err, r.stdout, r.stderr, logs(filepath.Join(dir, "soak")))
			}
			if counts.Strikes < 8 || counts.Orders < 100 || counts.Approved == 0 || counts.Cancelled == 0 || counts.Committed < uint64(2*counts.Orders) {
				t.Errorf("the run did too little to prove anything: %+v", counts)
			}
			if settled := counts.Created + counts.Compensated; test.style == orchestration && (settled != int64(counts.Orders) || 3*counts.Compensated < settled) {
				t.Errorf("the sagas prove little: %+v", counts)
			}
			t.Logf("%+v", counts)
		})
	}
}

// soakPatience covers the load, the wait for quiet and the stop.
const soakPatience = 8 * time.Minute

// logs are the last lines that the processes of a failed run have left.
func logs(dir string) string {
	files, _ := filepath.Glob(filepath.Join(dir, "*.log"))
	var b strings.Builder
	for _, file := range files {
		text, _ := os.ReadFile(file)
		b.WriteString("--- " + filepath.Base(file) + "\n" + string(text[max(0, len(text)-1500):]) + "\n")
	}
	return b.String()
}

// Relays that read the log, with every strike that their database has, on many
// messages and some large transactions.
func TestSoakTheLog(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, store, strikes string }{
		{"PostgreSQL and Kafka", "postgres", "pause,sessions,slot"},
		{"MariaDB and Kafka", "mariadb", "pause,sessions,purge"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			servers := servertest.Private(t, test.store, "kafka")
			i := invocation{dir: dir, args: []string{"soak", "--messages", "60000", "--read", "log", "--strike", test.strikes, "--for", "30s", "--every", "2s",
				"--seed", "20", "--dir", filepath.Join(dir, "soak"), "--settle", "5m", "--output", "json",
				"--servers", servers.Script(), "--kill", test.store, "--kill", "kafka"}}
			i.env = append(slices.DeleteFunc(servers.Environment(), func(s string) bool { return !strings.HasPrefix(s, "TIDINGS_SERVERS") && !strings.Contains(s, "_PORT=") }),
				"TIDINGS_STORE_URL="+servers.URL(test.store), "TIDINGS_BROKER_URL="+servers.URL("kafka"))
			r := i.runWithin(t, soakPatience)
			var counts soak.Counts
			if err := json.Unmarshal([]byte(r.stdout), &counts); err != nil || r.code != exitDone {
				t.Fatalf("exit code %d (%v)\n%s\n%s\n%s", r.code, err, r.stdout, r.stderr, logs(filepath.Join(dir, "soak")))
			}
			if counts.Strikes < 6 || counts.Committed < 50_000 || counts.Losses == 0 {
				t.Errorf("the run did too little to prove anything: %+v", counts)
			}
			t.Logf("%+v", counts)
		})
	}
}
