package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"tidings.example/internal/servertest"
)

var customerID = regexp.MustCompile(`"customerId":"([^"]+)"`)

// commandsOf returns the commands that the banner tells to try.
func commandsOf(t *testing.T, banner string, n int) string {
	t.Helper()
	var commands []string
	for line := range strings.Lines(banner) {
		if strings.HasPrefix(line, "  ") && strings.Contains(line, "curl ") {
			commands = append(commands, strings.TrimSpace(line))
		}
	}
	if len(commands) != n {
		t.Fatalf("the banner has %d commands, want %d:\n%s", len(commands), n, banner)
	}
	return strings.Join(commands, "\n")
}

// paste runs lines in a shell, as somebody who pastes them does.
func paste(t *testing.T, lines string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	output, err := exec.CommandContext(ctx, "sh", "-c", lines).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s\n%s", err, lines, output)
	}
	return string(output)
}

// post sends JSON and returns the answer, which must be 201.
func post(t *testing.T, url, body string) map[string]string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader([]byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var answer map[string]string
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil || response.StatusCode != http.StatusCreated {
		t.Fatalf("POST %s answers %d, %v", url, response.StatusCode, err)
	}
	return answer
}

// order creates a customer and an order, and waits until the history shows it APPROVED.
func order(t *testing.T, base string) (customer string) {
	t.Helper()
	customer = post(t, base+"/customers", `{"name":"Ada","creditLimit":{"amount":100}}`)["customerId"]
	post(t, base+"/orders", `{"customerId":"`+customer+`","orderTotal":{"amount":12.34}}`)
	awaitPage(t, base+"/customers/"+customer+"/orderhistory", http.StatusOK, "APPROVED")
	return customer
}

// TestDemo is what a stranger does: start it, paste the commands, stop it, start
// it again.
func TestDemo(t *testing.T) {
	t.Parallel()
	addr := freeAddr(t)
	i := invocation{dir: t.TempDir(), args: []string{"demo", "--addr", addr}}
	p := i.start(t)
	p.await("orderhistory\n")
	banner := p.output.String()
	for _, want := range []string{"http://" + addr, "SQLite", "tidings-data", "NATS JetStream", "Ctrl-C"} {
		if !strings.Contains(banner, want) {
			t.Errorf("the banner does not say %q:\n%s", want, banner)
		}
	}
	answers := paste(t, commandsOf(t, banner, 3))
	if !strings.Contains(answers, `"orderId"`) || !strings.Contains(answers, "APPROVED") || !strings.Contains(answers, "12.34") {
		t.Errorf("the commands answer:\n%s", answers)
	}
	customer := customerID.FindStringSubmatch(answers)
	if customer == nil {
		t.Fatalf("no customer's id in:\n%s", answers)
	}
	awaitPage(t, "http://"+addr+"/", http.StatusOK, "<html")
	awaitPage(t, "http://"+addr+"/metrics", http.StatusOK, "tidings_relay_published_messages_total")

	p.signal(os.Interrupt)
	if code := p.end(); code != exitDone {
		t.Errorf("after Ctrl-C the exit code is %d", code)
	}
	if out := strings.TrimPrefix(p.output.String(), banner); !strings.Contains(out, "Stopped") || strings.Contains(out, "level=") {
		t.Errorf("while stopping it prints:\n%s", out)
	}

	again := i.start(t)
	again.await("orderhistory\n")
	awaitPage(t, "http://"+addr+"/customers/"+customer[1]+"/orderhistory", http.StatusOK, "APPROVED")
	order(t, "http://"+addr)
	again.signal(syscall.SIGTERM)
	if code := again.end(); code != exitDone {
		t.Errorf("after SIGTERM the exit code is %d", code)
	}
}

// TestSecondDemo: one directory and one port are one demo's.
func TestSecondDemo(t *testing.T) {
	t.Parallel()
	addr, dir := freeAddr(t), t.TempDir()
	p := invocation{args: []string{"demo", "--addr", addr, "--dir", dir}}.start(t)
	p.await("orderhistory\n")
	pid := fmt.Sprint(p.cmd.Process.Pid)
	invoke(t, "demo", "--addr", freeAddr(t), "--dir", dir).fails(t, exitFailed, dir, "process "+pid, "--dir")
	invoke(t, "demo", "--process", "orders", "--dir", dir).fails(t, exitFailed, dir, "process "+pid, "--dir")
	invoke(t, "demo", "--addr", addr, "--dir", t.TempDir()).fails(t, exitFailed, addr, "address already in use", "--addr")

	// Nothing that was killed leaves a lock behind.
	p.signal(os.Kill)
	p.end()
	again := invocation{args: []string{"demo", "--addr", addr, "--dir", dir}}.start(t)
	again.await("orderhistory\n")
}

// TestSecondSignal: the first lets running work finish, the second does not wait.
func TestSecondSignal(t *testing.T) {
	t.Parallel()
	addr := freeAddr(t)
	p := invocation{args: []string{"demo", "--addr", addr, "--dir", t.TempDir(), "--drain", "10m"}}.start(t)
	p.await("orderhistory\n")
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	// A request whose body never ends.
	fmt.Fprintf(conn, "POST /customers HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n", addr)
	if _, err := conn.Read(make([]byte, 1)); err != nil { // the handler reads
		t.Fatal(err)
	}
	p.signal(os.Interrupt)
	p.await("Stopping")
	p.signal(os.Interrupt)
	if code := p.end(); code == exitDone {
		t.Errorf("after two signals the exit code is %d", code)
	}
}

func TestDemoThatCannotWrite(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	invoke(t, "demo", "--dir", file+"/data", "--addr", freeAddr(t)).fails(t, exitFailed, file+"/data", "not a directory", "--dir")

	dir := t.TempDir()
	for _, d := range []string{dir, filepath.Dir(dir)} {
		if err := os.Chmod(d, 0o555); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{dir, dir + "/data"} {
		i := invocation{dir: "/", unprivileged: true, args: []string{"demo", "--dir", path, "--addr", freeAddr(t)}}
		i.run(t).fails(t, exitFailed, path, "permission denied", "--dir")
	}
}

func TestDemoUsage(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		args string
		want []string
	}{
		{"demo --process order", []string{`no process "order"`, "did you mean orders?", "gateway"}},
		{"demo --process order-service", []string{`no process "order-service" in the system customers-orders`, "gateway"}},
		{"demo --system ftgo --process orders", []string{`no process "orders" in the system ftgo`, "order-service, consumer-service, restaurant-service, gateway, broker"}},
		{"demo --system ftgo --orders-addr 127.0.0.1:0", []string{"--orders-addr", "ftgo"}},
		{"demo --consumer-service-addr 127.0.0.1:0", []string{"--consumer-service-addr", "customers-orders"}},
		{"demo --system shop", []string{`--system: "shop"`, "customers-orders, ftgo"}},
		{"demo --store mongodb", []string{`--store: "mongodb"`, "sqlite, postgres, mysql"}},
		{"demo --store postgres", []string{"--store-url", "TIDINGS_DEMO_STORE_URL"}},
		{"demo --broker kafka", []string{"--broker-url", "TIDINGS_DEMO_BROKER_URL"}},
		{"demo --store mysql --store-url postgres://h", []string{"--store is mysql", "postgres"}},
		{"demo --broker nats --broker-url kafka://h", []string{"--broker is nats", "kafka"}},
		{"demo --store-url sqlite:x.db", []string{"--dir"}},
		{"demo --store-url kafka://h", []string{"a broker's"}},
		{"demo --process broker --broker-url nats://h", []string{"--process broker"}},
		{"demo --addr 8080", []string{"--addr", "host:port"}},
		{"demo --orders-addr 8080", []string{"--orders-addr", "host:port"}},
		{"demo --drain 0s", []string{"--drain"}},
		{"demo now", []string{`unexpected argument "now"`}},
	} {
		t.Run(test.args, func(t *testing.T) {
			t.Parallel()
			invoke(t, strings.Fields(test.args)...).fails(t, exitUsage, test.want...)
		})
	}
}

// processFlags are flags for processes that are started one by one, on ports of
// the test's own.
func processFlags(t *testing.T, dir string) (flags []string, base string) {
	t.Helper()
	gateway := freeAddr(t)
	flags = []string{"--dir", dir, "--addr", gateway}
	for _, name := range []string{"orders", "customers", "history", "nats"} {
		flags = append(flags, "--"+name+"-addr", freeAddr(t))
	}
	return flags, "http://" + gateway
}

// TestDemoAsProcesses runs each process alone and kills those in the middle.
func TestDemoAsProcesses(t *testing.T) {
	t.Parallel()
	flags, base := processFlags(t, t.TempDir())
	start := func(name string) *process {
		return invocation{args: append([]string{"demo", "--process", name}, flags...)}.start(t)
	}
	invoke(t, append([]string{"demo", "--process", "orders", "--wait", "0s"}, flags...)...).
		fails(t, exitFailed, "nats://", "tidings demo --process broker")
	running := map[string]*process{}
	// In any order: those without a broker wait for it.
	for _, name := range []string{"orders", "customers", "history", "gateway"} {
		running[name] = start(name)
	}
	running["gateway"].await("not there yet, waiting")
	running["broker"] = start("broker")
	for name, p := range running {
		p.await(name + " runs")
	}
	order(t, base)

	for _, name := range []string{"customers", "broker", "orders"} {
		running[name].signal(os.Kill)
		running[name].end()
		running[name] = start(name)
		running[name].await(name + " runs")
	}
	awaitPage(t, base+"/readyz", http.StatusOK, "true")
	order(t, base)
	for _, name := range []string{"gateway", "history", "customers", "orders", "broker"} {
		running[name].signal(os.Interrupt)
		if code := running[name].end(); code != exitDone {
			t.Errorf("%s: after Ctrl-C the exit code is %d", name, code)
		}
	}
}

// TestDemoOnServers runs the sample on each database server and broker.
func TestDemoOnServers(t *testing.T) {
	t.Parallel()
	for name, urls := range map[string]func(t *testing.T, prefix string) (store, broker string){
		"postgres and kafka": func(t *testing.T, prefix string) (string, string) {
			return servertest.Postgres(t), kafka(t, prefix+"_orders", prefix+"_customers")
		},
		"mysql and nats": func(t *testing.T, _ string) (string, string) { return servertest.MySQL(t), natsServer(t) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			prefix, addr := servertest.Name("demo"), freeAddr(t)
			store, broker := urls(t, prefix)
			dropDatabases(t, store, prefix, "orders", "customers", "history")
			p := invocation{env: []string{"TIDINGS_DEMO_STORE_URL=" + store, "TIDINGS_DEMO_BROKER_URL=" + broker},
				args: []string{"demo", "--dir", t.TempDir(), "--addr", addr, "--prefix", prefix}}.start(t)
			p.await("orderhistory\n")
			order(t, "http://"+addr)
			if out := p.output.String(); !strings.Contains(out, prefix+"_* at ") || strings.Contains(out, ":tidings@") {
				t.Errorf("the banner does not say where the data is, or has a password:\n%s", out)
			}
			p.signal(os.Interrupt)
			if code := p.end(); code != exitDone {
				t.Errorf("after Ctrl-C the exit code is %d", code)
			}
		})
	}
}

// TestDemoMayNotCreateDatabases: a missing privilege is said in one line.
func TestDemoMayNotCreateDatabases(t *testing.T) {
	t.Parallel()
	db := openURL(t, servertest.PostgresDatabase(t))
	role := servertest.Name("role")
	if _, err := db.SQL.ExecContext(t.Context(), "CREATE ROLE "+role+" LOGIN PASSWORD 's3cr3t'"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := db.SQL.ExecContext(context.Background(), "DROP ROLE "+role); err != nil {
			t.Error(err)
		}
	})
	server, err := url.Parse(servertest.Postgres(t))
	if err != nil {
		t.Fatal(err)
	}
	server.User = url.UserPassword(role, "s3cr3t")
	i := invocation{env: []string{"TIDINGS_DEMO_STORE_URL=" + server.String()}, args: []string{"demo", "--dir", t.TempDir(), "--addr", freeAddr(t)}}
	r := i.run(t)
	r.fails(t, exitFailed, "tidings_demo_", "permission denied", "create it by hand")
	if strings.Contains(r.stderr, "s3cr3t") {
		t.Errorf("the error has the password: %s", r.stderr)
	}
}

// dropDatabases removes what the demo has created, after the test.
func dropDatabases(t *testing.T, server, prefix string, services ...string) {
	t.Helper()
	aside := servertest.MySQLDatabase
	if strings.HasPrefix(server, "postgres") {
		aside = servertest.PostgresDatabase
	}
	db := openURL(t, aside(t))
	t.Cleanup(func() {
		for _, name := range services {
			if _, err := db.SQL.ExecContext(context.Background(), "DROP DATABASE "+prefix+"_"+name); err != nil {
				t.Error(err)
			}
		}
	})
}

// TestOccupiedNATSPort: one line for the broker's port too.
func TestOccupiedNATSPort(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	invoke(t, "demo", "--process", "broker", "--dir", t.TempDir(), "--nats-addr", l.Addr().String()).
		fails(t, exitFailed, l.Addr().String(), "address already in use", "--nats-addr")
}
