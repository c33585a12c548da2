package main

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestWrongUsage: exit code 2, and one line that says what to do instead.
func TestWrongUsage(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		args string
		want []string
	}{
		{"relai", []string{`unknown command "relai"`, "did you mean relay?"}},
		{"relai --store-url sqlite:x.db", []string{`unknown command "relai"`, "did you mean relay?"}},
		{"help relai", []string{`unknown command "relai"`, "did you mean relay?"}},
		{"help parked lsit", []string{"tidings parked", "did you mean list?"}},
		{"frobnicate", []string{`unknown command "frobnicate"`, "tidings --help"}},
		{"parked lsit", []string{`unknown command "lsit" for tidings parked`, "did you mean list?"}},
		{"parked lsit --store-url sqlite:x.db", []string{`unknown command "lsit"`, "did you mean list?"}},
		{"migrate upp", []string{"did you mean up?"}},
		{"relay --stroe-url x", []string{"unknown flag --stroe-url", "did you mean --store-url?"}},
		{"relay --store", []string{"unknown flag --store", "did you mean --store-url?", "tidings relay --help"}},
		{"outbox -x", []string{"unknown flag -x", "tidings outbox --help"}},
		{"relay --source", []string{"--source needs a value"}},
		{"parked list --limit many", []string{`--limit: "many" is not a whole number`}},
		{"parked list --limit 0", []string{"--limit: 0 is less than 1"}},
		{"outbox list --limit -3", []string{"--limit: -3 is less than 1"}},
		{"relay --wait 5", []string{`--wait: "5" is not a duration`, "10s"}},
		{"outbox -o yaml", []string{`--output: "yaml" is not one of table, json`}},
		{"version --output jsn", []string{"did you mean json?"}},
		{"version --log-level loud", []string{"--log-level", "debug, info, warn, error"}},
		{"version 2", []string{`unexpected argument "2"`, "tidings version --help"}},
		{"parked show", []string{"ID is missing"}},
		{"parked show seventeen", []string{`ID: "seventeen" is not a whole number`}},
		{"outbox discard", []string{"POSITION is missing"}},
		{"outbox discard -- -7", []string{`POSITION: "-7" is not a whole number`}},
		{"outbox", []string{"--store-url is missing", "TIDINGS_STORE_URL"}},
		{"migrate up", []string{"--store-url is missing", "TIDINGS_STORE_URL"}},
		{"migrate --print", []string{"--store-url is missing"}},
		{"doctor", []string{"--store-url and --broker-url are missing"}},
		{"relay", []string{"--source is missing", "TIDINGS_SOURCE"}},
		{"relay --source orders", []string{"--store-url is missing"}},
		{"relay --source orders --store-url sqlite:x.db", []string{"--broker-url is missing", "TIDINGS_BROKER_URL"}},
		{"relay --source or/ders --store-url sqlite:x.db --broker-url nats://h", []string{"--source", "or/ders"}},
		{"relay --source orders --store-url sqlite:x.db --broker-url nats://h --channel a..b", []string{"--channel", "a..b"}},
		{"relay --source orders --store-url sqlite:x.db --broker-url nats://h --http 8080", []string{"--http", "host:port"}},
		{"relay --source orders --store-url nats://h --broker-url sqlite:x.db", []string{"database URL", "a broker's"}},
		{"doctor --store-url oracle://db/x", []string{`unknown scheme "oracle"`, "sqlite:orders.db"}},
		{"doctor --store-url sqlite:x.db?synchron=full", []string{"unknown parameter", `did you mean "synchronous"`}},
		{"doctor --store-url sqlite:x.db?synchronous=maybe", []string{"synchronous", "normal, full"}},
		{"doctor --broker-url nats://h/path", []string{"path"}},
		{"doctor --broker-url nats://h?partitions=none", []string{"partitions", "number"}},
		{"doctor --store-url postgres://app:s3cr/3t@db/orders", []string{"percent-encode"}},
		{"parked retry 5 --store-url sqlite:x.db", []string{"--reason is missing"}},
		{"parked discard 5 --store-url sqlite:x.db", []string{"--reason is missing"}},
		{"outbox discard 5 --store-url sqlite:x.db", []string{"--reason is missing"}},
		{"outbox retry --key 5 --reason because", []string{"--channel is missing"}},
		{"parked edit 5 --reason because", []string{"either --payload or --payload-file"}},
		{"parked edit 5 --reason because --payload a --payload-file b", []string{"either --payload or --payload-file"}},
		{"parked edit 5 --reason because --payload-file none.json", []string{"none.json", "no such file"}},
		{"completion bash x", []string{"unknown command"}},
	} {
		t.Run(test.args, func(t *testing.T) {
			t.Parallel()
			r := invoke(t, strings.Fields(test.args)...)
			r.fails(t, exitUsage, test.want...)
			if r.stdout != "" {
				t.Errorf("stdout should be empty:\n%s", r.stdout)
			}
			if strings.Contains(r.stderr, "s3cr") {
				t.Errorf("the error repeats a password: %s", r.stderr)
			}
		})
	}
}

func TestReasonIsBounded(t *testing.T) {
	t.Parallel()
	invoke(t, "parked", "retry", "5", "--reason", strings.Repeat("x", 1001)).fails(t, exitUsage, "1000")
}

func TestTheEnvironmentGivesFlags(t *testing.T) {
	t.Parallel()
	i := invocation{dir: t.TempDir(), env: []string{"TIDINGS_STORE_URL=sqlite:absent.db"}, args: []string{"outbox"}}
	i.run(t).fails(t, exitFailed, "absent.db")
	// The command line counts more.
	i.args = []string{"outbox", "--store-url", "sqlite:other.db"}
	i.run(t).fails(t, exitFailed, "other.db")
	i = invocation{dir: t.TempDir(), env: []string{"TIDINGS_LOG_LEVEL=loud"}, args: []string{"version"}}
	i.run(t).fails(t, exitUsage, "TIDINGS_LOG_LEVEL", "--log-level")
}

func TestVersion(t *testing.T) {
	t.Parallel()
	if out := mustRun(t, "version"); !strings.Contains(out, "built with  go1.") {
		t.Errorf("version says:\n%s", out)
	}
	if out := mustRun(t, "--version"); !strings.HasPrefix(out, "tidings version ") {
		t.Errorf("--version says:\n%s", out)
	}
	var v versionInfo
	if err := json.Unmarshal([]byte(mustRun(t, "version", "-o", "json")), &v); err != nil || v.Go == "" || v.Version == "" {
		t.Errorf("version as JSON: %+v, %v", v, err)
	}
}
