package brokertest

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"tidings.example"
	"tidings.example/broker"
)

// A recorder keeps what was delivered, in the order of the deliveries.
type recorder struct {
	mu      sync.Mutex
	got     []broker.Delivery
	changed chan struct{}
}

func newRecorder() *recorder { return &recorder{changed: make(chan struct{})} }

func (r *recorder) add(d broker.Delivery) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got = append(r.got, d)
	close(r.changed)
	r.changed = make(chan struct{})
}

func (r *recorder) deliveries() []broker.Delivery {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.got[:len(r.got):len(r.got)]
}

// wait waits until enough says so of what was delivered so far.
func (r *recorder) wait(t *testing.T, what string, enough func(got []broker.Delivery) bool) []broker.Delivery {
	t.Helper()
	deadline := time.After(patience)
	for {
		r.mu.Lock()
		got, changed := r.got[:len(r.got):len(r.got)], r.changed
		r.mu.Unlock()
		if enough(got) {
			return got
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("waiting for %s: %d deliveries: %s", what, len(got), summary(got))
		}
	}
}

// await waits for n deliveries as wait does, on any goroutine: it gives up
// without a word.
func (r *recorder) await(n int) {
	deadline := time.After(patience)
	for {
		r.mu.Lock()
		got, changed := len(r.got), r.changed
		r.mu.Unlock()
		if got >= n {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			return
		}
	}
}

func (r *recorder) waitCount(t *testing.T, n int) []broker.Delivery {
	t.Helper()
	return r.wait(t, fmt.Sprintf("%d deliveries", n), func(got []broker.Delivery) bool { return len(got) >= n })
}

// waitAll waits until each of the messages was delivered at least once.
func (r *recorder) waitAll(t *testing.T, ms []*tidings.Message) []broker.Delivery {
	t.Helper()
	missing := make(map[string]bool, len(ms))
	for _, m := range ms {
		missing[m.ID] = true
	}
	seen := 0
	return r.wait(t, fmt.Sprintf("all of %d messages", len(ms)), func(got []broker.Delivery) bool {
		for _, d := range got[seen:] {
			delete(missing, d.Message.ID)
		}
		seen = len(got)
		return len(missing) == 0
	})
}

func summary(got []broker.Delivery) string {
	var b strings.Builder
	for i, d := range got {
		if i == 20 {
			b.WriteString(" ...")
			break
		}
		fmt.Fprintf(&b, " %s/%.20s", d.Message.Key, d.Message.Payload)
	}
	return b.String()
}

func number(t *testing.T, d broker.Delivery) int {
	t.Helper()
	n, err := strconv.Atoi(string(d.Message.Payload))
	if err != nil {
		t.Fatalf("delivered payload %q is not a number (delivery error: %v)", d.Message.Payload, d.Err)
	}
	return n
}

// checkOrder checks that the first delivery of each message comes in the order
// of the numbers 0, 1, 2 ... of its channel and key, whatever is repeated.
func checkOrder(t *testing.T, got []broker.Delivery) {
	t.Helper()
	next := map[[2]string]int{}
	for _, d := range got {
		if d.Message.Key == "" {
			continue
		}
		lane := [2]string{d.Message.Channel, d.Message.Key}
		switch n := number(t, d); {
		case n == next[lane]:
			next[lane]++
		case n > next[lane]:
			t.Fatalf("key %s: number %d delivered before %d", d.Message.Key, n, next[lane])
		}
	}
}

// checkOnce checks that no message was delivered twice.
func checkOnce(t *testing.T, got []broker.Delivery) {
	t.Helper()
	seen := make(map[string]bool, len(got))
	for _, d := range got {
		if seen[d.Message.ID] {
			t.Fatalf("message %s/%s was delivered twice", d.Message.Key, d.Message.Payload)
		}
		seen[d.Message.ID] = true
	}
}
