package main

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tidings.example/internal/servertest"
)

func TestDoctorOnHealthyServers(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, url string) {
		mustRun(t, "migrate", "up", "--store-url", url)
		r := invoke(t, "doctor", "--store-url", url, "-o", "json")
		report := decode[examinedJSON](t, r.stdout)
		if r.code != exitDone || report.Fails != 0 || len(report.Findings) < 3 {
			t.Errorf("exit code %d, findings:\n%s", r.code, r.stdout)
		}
		for _, f := range report.Findings {
			if f.Target != "database" || f.Name == "" || f.Detail == "" || (f.Status != "ok" && f.Advice == "") {
				t.Errorf("a finding is %+v", f)
			}
		}
	})
	for kind, url := range map[string]func(*testing.T) string{
		"nats": natsServer, "kafka": func(t *testing.T) string { return servertest.Kafka(t) },
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			r := invoke(t, "doctor", "--broker-url", url(t))
			if r.code != exitDone || !strings.HasPrefix(r.stdout, "broker "+kind+"://") || !strings.Contains(r.stdout, "ok") {
				t.Errorf("exit code %d:\n%s%s", r.code, r.stdout, r.stderr)
			}
		})
	}
}

// TestDoctorFindsMissingTables: a server without our tables is a finding with advice.
func TestDoctorFindsMissingTables(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, url string) {
		if path, ok := strings.CutPrefix(url, "sqlite:"); ok {
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		r := invoke(t, "doctor", "--store-url", url)
		r.fails(t, exitNegative, "doctor found")
		if !strings.Contains(r.stdout, "fail") || !strings.Contains(r.stdout, "-> ") || !strings.Contains(r.stdout, "tidings migrate up") {
			t.Errorf("the findings are:\n%s", r.stdout)
		}
	})
}

// TestUnreachableServers: a finding for the doctor, an error for the others;
// always with the address and never with the password.
func TestUnreachableServers(t *testing.T) {
	t.Parallel()
	absent := freeAddr(t)
	for _, scheme := range []string{"postgres", "mysql", "nats", "kafka"} {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			url, flag := scheme+"://app:s3cr3t@"+absent, "--store-url"
			switch scheme {
			case "nats":
				flag = "--broker-url"
			case "kafka":
				url, flag = url+"?sasl=plain", "--broker-url"
			default:
				url += "/orders"
			}
			r := invoke(t, "doctor", flag, url, "--log-level", "error")
			r.fails(t, exitNegative, "doctor found 1 problem")
			if !strings.Contains(r.stdout, absent) || !strings.Contains(r.stdout, "-> ") || strings.Contains(r.stdout+r.stderr, "s3cr3t") {
				t.Errorf("the doctor says:\n%s%s", r.stdout, r.stderr)
			}
			if flag == "--store-url" {
				r := invoke(t, "outbox", flag, url)
				r.fails(t, exitFailed, absent, "refused")
				if strings.Contains(r.stderr, "s3cr3t") {
					t.Errorf("the error has the password: %s", r.stderr)
				}
			}
		})
	}
}

// TestInterrupted: a command that waits for a silent server ends at once.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	p := invocation{args: []string{"outbox", "--store-url", "postgres://app@" + silent.Addr().String() + "/orders?sslmode=disable"}}.start(t)
	conn, err := silent.Accept() // it is connected, and waits
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	p.signal(os.Interrupt)
	if code := p.end(); code != exitInterrupted {
		t.Errorf("the exit code is %d, want %d", code, exitInterrupted)
	}
}

func TestFilesThatAreNoDatabase(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	text := filepath.Join(dir, "letter.txt")
	if err := os.WriteFile(text, []byte(strings.Repeat("This is a letter. ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	invoke(t, "outbox", "--store-url", "sqlite:"+text).fails(t, exitFailed, text, "not a SQLite database")
	invoke(t, "outbox", "--store-url", "sqlite:"+dir).fails(t, exitFailed, dir)
	invoke(t, "migrate", "up", "--store-url", "sqlite:"+dir+"/no/where.db").fails(t, exitFailed, "no", "does not exist")
}

// TestReadOnlyDirectory runs as a user that may not write there.
func TestReadOnlyDirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, d := range []string{dir, filepath.Dir(dir)} {
		if err := os.Chmod(d, 0o555); err != nil {
			t.Fatal(err)
		}
	}
	i := invocation{dir: "/", unprivileged: true, args: []string{"migrate", "up", "--store-url", "sqlite:" + dir + "/orders.db"}}
	i.run(t).fails(t, exitFailed, dir, "permission denied")
}
