package bench

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// relayProcess is a relay of its own, as users run it, so that its memory and
// CPU time are its own.
type relayProcess struct {
	cmd     *exec.Cmd
	metrics string
	stderr  bytes.Buffer
}

// startRelay runs this program's own relay command.
func startRelay(ctx context.Context, o Options) (*relayProcess, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	args := []string{"relay", "--source", sourceName, "--http", addr}
	if o.Read != "" {
		args = append(args, "--read", o.Read)
	}
	p := &relayProcess{metrics: "http://" + addr + "/metrics", cmd: exec.CommandContext(ctx, self, args...)}
	// URLs go by environment, so that no password is seen in a process list.
	p.cmd.Env = append(os.Environ(), "TIDINGS_STORE_URL="+o.StoreURL, "TIDINGS_BROKER_URL="+o.BrokerURL)
	p.cmd.Stderr = &p.stderr
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the relay: %w", err)
	}
	return p, nil
}

// rss is the process's resident memory now, and peak the highest that it was, in
// bytes.
func (p *relayProcess) rss() (now, peak float64, err error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, 0, fmt.Errorf("read the relay's memory: %w", err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan() && (now == 0 || peak == 0); {
		name, value, _ := strings.Cut(lines.Text(), ":")
		into := map[string]*float64{"VmRSS": &now, "VmHWM": &peak}[name]
		if into == nil {
			continue
		}
		kb, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 64)
		if err != nil {
			return 0, 0, fmt.Errorf("read the relay's memory: %w", err)
		}
		*into = kb * 1024
	}
	if now == 0 || peak == 0 {
		return 0, 0, errors.New("read the relay's memory: no VmRSS or VmHWM in its status")
	}
	return now, peak, nil
}

// kill ends the relay without a chance to clean up, and returns when that was.
func (p *relayProcess) kill() (time.Time, error) {
	at := time.Now()
	if err := p.cmd.Process.Kill(); err != nil {
		return at, fmt.Errorf("kill the relay: %w: %s", err, p.stderr.String())
	}
	_ = p.cmd.Wait() // "signal: killed" is what was asked for
	return at, nil
}

// stop ends the relay and returns the CPU time that it took.
func (p *relayProcess) stop() (time.Duration, error) {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return 0, fmt.Errorf("stop the relay: %w: %s", err, p.stderr.String())
	}
	if err := p.cmd.Wait(); err != nil {
		return 0, fmt.Errorf("the relay failed: %w: %s", err, p.stderr.String())
	}
	return p.cmd.ProcessState.UserTime() + p.cmd.ProcessState.SystemTime(), nil
}

// published is how many messages the relay says the broker has acknowledged.
// Asking the relay costs the database nothing.
func (p *relayProcess) published(ctx context.Context) (int, error) {
	n, _, err := p.metric(ctx, "tidings_relay_published_messages_total")
	return int(n), err
}

// metric asks the relay for one figure; ok is false while it does not answer yet:
// the caller's deadline ends the waiting.
func (p *relayProcess) metric(ctx context.Context, name string) (value float64, ok bool, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.metrics, nil)
	if err != nil {
		return 0, false, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, false, nil
	}
	defer response.Body.Close()
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		if rest, found := strings.CutPrefix(lines.Text(), name+"{"); found {
			_, text, _ := strings.Cut(rest, "} ")
			value, err := strconv.ParseFloat(text, 64)
			return value, err == nil, err
		}
	}
	return 0, false, nil
}

// waitPublished waits until at least n messages are published, and returns how
// many those are and when.
func (p *relayProcess) waitPublished(ctx context.Context, n int) (int, time.Time, error) {
	deadline := time.Now().Add(5 * time.Minute)
	for {
		published, err := p.published(ctx)
		if err != nil || published >= n {
			return published, time.Now(), err
		}
		if time.Now().After(deadline) {
			return 0, time.Time{}, fmt.Errorf("the relay published only %d of %d messages in 5 minutes; it says: %s", published, n, p.stderr.String())
		}
		select {
		case <-ctx.Done():
			return 0, time.Time{}, ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	return l.Addr().String(), l.Close()
}
