package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// program is the built binary, which the tests run as a user would.
var program string

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "tidings-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	// Some tests run the program as a user without privileges.
	if err := os.Chmod(dir, 0o755); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	program = filepath.Join(dir, "tidings")
	build := exec.Command("go", "build", "-o", program, ".")
	if output, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the program: %v\n%s", err, output)
		return 1
	}
	return m.Run()
}

// result is what a finished run has left.
type result struct {
	code           int
	stdout, stderr string
}

// invocation is a run to be started.
type invocation struct {
	dir   string
	env   []string
	stdin string
	args  []string
	// unprivileged runs the program as a user that may write nowhere.
	unprivileged bool
}

func (i invocation) command(ctx context.Context) *exec.Cmd {
	cmd := exec.CommandContext(ctx, program, i.args...)
	cmd.Dir = i.dir
	cmd.Stdin = strings.NewReader(i.stdin)
	// What a developer has in the environment must not change the tests.
	cmd.Env = slices.DeleteFunc(os.Environ(), func(s string) bool { return strings.HasPrefix(s, "TIDINGS_") })
	cmd.Env = append(cmd.Env, "USER=tester")
	cmd.Env = append(cmd.Env, i.env...)
	if i.unprivileged && os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	return cmd
}

// patience bounds how long a test waits for anything.
const patience = 60 * time.Second

// run runs the program to its end.
func (i invocation) run(t *testing.T) result {
	t.Helper()
	return i.runWithin(t, patience)
}

// runWithin ends the program in an orderly way when the time is up, so that it
// leaves no processes behind.
func (i invocation) runWithin(t *testing.T, limit time.Duration) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := i.command(ctx)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = time.Minute
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("run tidings %s: %v", strings.Join(i.args, " "), err)
	}
	return result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// invoke runs the program with these arguments.
func invoke(t *testing.T, args ...string) result {
	t.Helper()
	return invocation{dir: t.TempDir(), args: args}.run(t)
}

// mustRun runs the program, which must succeed, and returns its stdout.
func mustRun(t *testing.T, args ...string) string {
	t.Helper()
	r := invoke(t, args...)
	if r.code != exitDone {
		t.Fatalf("tidings %s: exit code %d\n%s%s", strings.Join(args, " "), r.code, r.stdout, r.stderr)
	}
	return r.stdout
}

// fails checks a run's exit code, and that its error is one line with all of
// want in it.
func (r result) fails(t *testing.T, code int, want ...string) {
	t.Helper()
	if r.code != code {
		t.Errorf("exit code %d, want %d\n%s%s", r.code, code, r.stdout, r.stderr)
	}
	line, rest, _ := strings.Cut(r.stderr, "\n")
	if rest != "" || !strings.HasPrefix(line, "tidings: ") {
		t.Errorf("stderr is not one line that begins with \"tidings: \":\n%s", r.stderr)
	}
	for _, w := range want {
		if !strings.Contains(line, w) {
			t.Errorf("the error does not say %q:\n%s", w, r.stderr)
		}
	}
}

// process is a run of the program that goes on until it is stopped.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	output *watched
	done   chan struct{} // closed when it has ended
	err    error
}

// start starts a long-running command; the test's end kills it.
func (i invocation) start(t *testing.T) *process {
	t.Helper()
	p := &process{t: t, output: newWatched(), done: make(chan struct{})}
	p.cmd = i.command(context.Background())
	p.cmd.Stdout, p.cmd.Stderr = p.output, p.output
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.done
		if t.Failed() {
			t.Logf("output of tidings %s:\n%s", strings.Join(i.args, " "), p.output.String())
		}
	})
	return p
}

// await waits until the output contains the text.
func (p *process) await(text string) {
	p.t.Helper()
	deadline := time.After(patience)
	for {
		changed := p.output.changed()
		if strings.Contains(p.output.String(), text) {
			return
		}
		select {
		case <-changed:
		case <-p.done:
			if !strings.Contains(p.output.String(), text) {
				p.t.Fatalf("the program ended (%v) and did not print %q:\n%s", p.err, text, p.output.String())
			}
		case <-deadline:
			p.t.Fatalf("the program did not print %q within %s:\n%s", text, patience, p.output.String())
		}
	}
}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// end waits until the program has ended and returns its exit code, or -1 where
// a signal has ended it.
func (p *process) end() int {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(patience):
		p.t.Fatalf("the program did not end within %s:\n%s", patience, p.output.String())
	}
	return p.cmd.ProcessState.ExitCode()
}

// watched is output that somebody may wait for.
type watched struct {
	mu     sync.Mutex
	buffer bytes.Buffer
	signal chan struct{}
}

func newWatched() *watched { return &watched{signal: make(chan struct{})} }

func (w *watched) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	close(w.signal)
	w.signal = make(chan struct{})
	return w.buffer.Write(b)
}

func (w *watched) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.buffer.String()
}

// changed returns a channel that is closed by the next write.
func (w *watched) changed() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.signal
}

// eventually waits until check returns nil.
func eventually(t *testing.T, what string, check func() error) {
	t.Helper()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(patience)
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatalf("%s did not happen within %s: %v", what, patience, err)
		}
	}
}
