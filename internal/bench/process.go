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
	p := &relayProcess{metrics: "http://" + addr + "/metrics",
		cmd: exec.CommandContext(ctx, self, "relay", "--source", sourceName, "--http", addr)}
	// URLs go by environment, so that no password is seen in a process list.
	p.cmd.Env = append(os.Environ(), "TIDINGS_STORE_URL="+o.StoreURL, "TIDINGS_BROKER_URL="+o.BrokerURL)
	p.cmd.Stderr = &p.stderr
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the relay: %w", err)
	}
	return p, nil
}

// rss is the process's resident memory now, in bytes.
func (p *relayProcess) rss() (float64, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, fmt.Errorf("read the relay's memory: %w", err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), "VmRSS:"); ok {
			kb, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 64)
			return kb * 1024, err
		}
	}
	return 0, errors.New("read the relay's memory: no VmRSS in its status")
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
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.metrics, nil)
	if err != nil {
		return 0, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		// It may not listen yet; the caller's deadline ends the waiting.
		return 0, nil
	}
	defer response.Body.Close()
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), "tidings_relay_published_messages_total{"); ok {
			_, value, _ := strings.Cut(rest, "} ")
			n, err := strconv.ParseFloat(value, 64)
			return int(n), err
		}
	}
	return 0, nil
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
