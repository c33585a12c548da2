package servertest

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// Servers are real servers that a test may stop, kill and start again. Their names
// are postgres, mariadb, kafka and nats. Every method waits until its effect is
// there (a started server answers) and fails the test if that takes too long.
//
// The methods may be called from any goroutine of the test, one at a time.
type Servers struct {
	t           testing.TB
	script      string
	environment []string
	urls        map[string]string
}

// Control returns the servers that all tests share. Who kills one of these breaks
// every test that uses it at that moment: do so only in a run of a single package,
// and take [Private] otherwise.
func Control(t testing.TB) *Servers {
	t.Helper()
	dir := sharedDirectory(t)
	s := &Servers{t: t, script: findScript(t), urls: map[string]string{}}
	s.environment = append(os.Environ(), "TIDINGS_SERVERS_DIR="+dir)
	for name, variable := range variables {
		s.urls[name] = os.Getenv(variable)
	}
	return s
}

// Private starts servers that belong to the test alone, on ports and data of their
// own, and stops and removes them after it. PostgreSQL and MariaDB take about two
// seconds each for it, Kafka four seconds and 330 MB. After a kill, PostgreSQL,
// MariaDB and NATS are back in half a second; Kafka takes six, because its controller
// first waits for the killed broker's session to end.
func Private(t testing.TB, names ...string) *Servers {
	t.Helper()
	return private(t, 0, names)
}

// PrivateSmall is Private on a disk of its own of so many MiB, in memory, which the
// test may fill: see [Servers.Fill]. Where this process may not mount one, the test
// is skipped.
func PrivateSmall(t testing.TB, mebibytes int, names ...string) *Servers {
	t.Helper()
	return private(t, mebibytes, names)
}

func private(t testing.TB, mebibytes int, names []string) *Servers {
	t.Helper()
	shared := sharedDirectory(t)
	parent := filepath.Join(shared, "private")
	if err := os.MkdirAll(parent, 0o755); err != nil {
		t.Fatalf("create the directory for private servers: %v", err)
	}
	dir, err := os.MkdirTemp(parent, "")
	if err != nil {
		t.Fatalf("create a directory for private servers: %v", err)
	}
	unmount := func() {}
	if mebibytes > 0 {
		unmount = mountSmall(t, dir, mebibytes)
	}
	// The database servers run as users of their own.
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatalf("open the directory of private servers: %v", err)
	}
	// scripts/servers sweep looks here whether the test is still alive.
	owner := []byte(strconv.Itoa(os.Getpid()) + "\n")
	if err := os.WriteFile(filepath.Join(dir, "owner"), owner, 0o644); err != nil {
		t.Fatalf("write the owner of private servers: %v", err)
	}

	s := &Servers{t: t, script: findScript(t), urls: map[string]string{}}
	s.environment = append(os.Environ(), "TIDINGS_SERVERS_DIR="+dir, "TIDINGS_SERVERS_PROGRAMS="+shared)
	for _, name := range names {
		port := strconv.Itoa(freePort(t))
		s.environment = append(s.environment, "TIDINGS_"+strings.ToUpper(name)+"_PORT="+port)
	}
	t.Cleanup(func() {
		if t.Failed() {
			s.logTails(dir, names)
		}
		s.run(append([]string{"stop"}, names...)...)
		unmount()
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("remove private servers: %v", err)
		}
	})
	// The output has a line for each server: its name and its URL.
	for line := range strings.Lines(s.run(append([]string{"start"}, names...)...)) {
		if name, url, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			s.urls[name] = strings.TrimSpace(url)
		}
	}
	if t.Failed() {
		t.FailNow() // the servers did not start; run has said why
	}
	return s
}

// Script is the path of scripts/servers, and Environment what it must find in
// its environment to control these servers: for programs that a test starts to do so.
func (s *Servers) Script() string { return s.script }

// Environment is what Script needs; see there.
func (s *Servers) Environment() []string { return slices.Clone(s.environment) }

// URL returns the URL of a server, in the form that [Postgres], [MySQL], [Kafka]
// and [NATS] return. It stays the same for ever.
func (s *Servers) URL(name string) string {
	s.t.Helper()
	url := s.urls[name]
	if url == "" {
		s.t.Errorf("there is no server %q here", name)
	}
	return url
}

// Start starts a server on the data that it had. It does nothing if it runs.
func (s *Servers) Start(name string) { s.t.Helper(); s.run("start", name) }

// Stop ends a server in an orderly way. It does nothing if it does not run.
func (s *Servers) Stop(name string) { s.t.Helper(); s.run("stop", name) }

// Kill ends a server as a crash does, with kill -9.
func (s *Servers) Kill(name string) { s.t.Helper(); s.run("kill", name) }

// Restart stops a server in an orderly way if it runs, and starts it.
func (s *Servers) Restart(name string) { s.t.Helper(); s.run("restart", name) }

// Signal sends a signal to a server's main process.
func (s *Servers) Signal(name string, signal syscall.Signal) {
	s.t.Helper()
	written, err := os.ReadFile(filepath.Join(s.dir(), name, "pid"))
	if err != nil {
		s.t.Errorf("find the process of %s: %v", name, err)
		return
	}
	id, _, _ := strings.Cut(strings.TrimSpace(string(written)), " ")
	pid, err := strconv.Atoi(id)
	if err == nil {
		err = syscall.Kill(pid, signal)
	}
	if err != nil {
		s.t.Errorf("send %s to %s: %v", signal, name, err)
	}
}

// run returns what the script prints for programs. It reports a failure with Errorf,
// which other goroutines than the test's may call.
func (s *Servers) run(arguments ...string) string {
	s.t.Helper()
	output, err := runScript(s.script, s.environment, arguments...)
	if err != nil {
		s.t.Errorf("%v", err)
	}
	return output
}

func (s *Servers) logTails(dir string, names []string) {
	for _, name := range names {
		log, err := runScript(s.script, s.environment, "logs", name, "-n", "30")
		if err != nil {
			log = err.Error()
		}
		s.t.Logf("end of the log of the private server %s in %s:\n%s", name, dir, log)
	}
}

func runScript(script string, environment []string, arguments ...string) (string, error) {
	command := exec.Command(script, arguments...)
	command.Env = environment
	var output, problems bytes.Buffer
	command.Stdout, command.Stderr = &output, &problems
	if err := command.Run(); err != nil {
		return "", fmt.Errorf("scripts/servers %s: %w\n%s", strings.Join(arguments, " "), err, problems.String())
	}
	return output.String(), nil
}

// sharedDirectory returns where scripts/servers keeps the shared servers. Servers
// that were started otherwise, such as containers, cannot be controlled.
func sharedDirectory(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("TIDINGS_SERVERS_DIR")
	if dir == "" {
		unavailable(t, "TIDINGS_SERVERS_DIR is not set, so there are no servers that a test may control")
	}
	return dir
}

// findScript returns the path of scripts/servers in the module that is tested.
func findScript(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatalf("find the checkout: %v", err)
	}
	for {
		script := filepath.Join(dir, "scripts", "servers")
		if _, err := os.Stat(script); err == nil {
			return script
		} else if !errors.Is(err, os.ErrNotExist) {
			t.Fatalf("find scripts/servers: %v", err)
		}
		if parent := filepath.Dir(dir); parent != dir {
			dir = parent
			continue
		}
		t.Fatal("find scripts/servers: it is in no directory above the test's")
	}
}

// freePort returns a port that is free together with the next one, which Kafka takes
// too. It lies below the range from which systems choose the ports of outgoing
// connections: while a server is down, such a connection could take its port, and a
// client that tries again and again would end up connected to itself.
func freePort(t testing.TB) int {
	t.Helper()
	for range 100 {
		port := 20000 + 2*rand.IntN(6000)
		if canListen(port) && canListen(port+1) {
			return port
		}
	}
	t.Fatal("find a free port: none of 100 between 20000 and 32000 is free")
	return 0
}

func canListen(port int) bool {
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return false
	}
	return listener.Close() == nil
}
