package natsjs

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"tidings.example"
)

// A fakeStream answers publications as a script says.
type fakeStream struct {
	mu       sync.Mutex
	payloads []string
	// answer returns what to answer to the nth publication, from 0; "" for
	// no answer.
	answer func(n int, payload string) string
}

const (
	ok         = `{"stream":"tidings=c","seq":1}`
	overloaded = `{"error":{"code":503,"err_code":10023,"description":"insufficient resources"},"stream":"tidings=c","seq":0}`
	refusal    = `{"error":{"code":400,"err_code":10109,"description":"invalid operation on sealed stream"},"stream":"tidings=c","seq":0}`
)

// publishTo opens a broker whose channel "c" is the fake stream.
func publishTo(t *testing.T, answer func(n int, payload string) string) (*Broker, *fakeStream) {
	t.Helper()
	b := openBroker(t, Config{Server: startServer(t, EmbeddedConfig{}).server})
	b.channels.known["c"] = &channel{name: "c", stream: "tidings=c", partitions: 1}
	f := &fakeStream{answer: answer}
	_, err := b.conn.Subscribe(b.names.subjects("c"), func(msg *nats.Msg) {
		f.mu.Lock()
		n := len(f.payloads)
		f.payloads = append(f.payloads, string(msg.Data))
		f.mu.Unlock()
		if answer := f.answer(n, string(msg.Data)); answer != "" {
			_ = msg.Respond([]byte(answer))
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.conn.Flush(); err != nil {
		t.Fatal(err)
	}
	return b, f
}

func (f *fakeStream) seen() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.payloads)
}

// report publishes numbered messages and returns what each was reported with.
func report(ctx context.Context, t *testing.T, b *Broker, n int) []error {
	t.Helper()
	ms := make([]*tidings.Message, n)
	for i := range ms {
		ms[i] = numbered("c", i)
	}
	errs := make([]error, n)
	var all sync.WaitGroup
	all.Add(n)
	b.Publish(ctx, ms, func(i int, err error) { errs[i] = err; all.Done() })
	all.Wait()
	return errs
}

func TestPassingRefusalIsTriedAgainInPlace(t *testing.T) {
	t.Parallel()
	b, f := publishTo(t, func(n int, _ string) string {
		if n == 1 || n == 2 {
			return overloaded
		}
		return ok
	})
	for i, err := range report(t.Context(), t, b, 4) {
		if err != nil {
			t.Errorf("message %d: %v", i, err)
		}
	}
	if got := f.seen(); !slices.Equal(got, []string{"0", "1", "1", "1", "2", "3"}) {
		t.Errorf("the stream saw %q", got)
	}
}

func TestLastingRefusalFailsAllBehind(t *testing.T) {
	t.Parallel()
	b, f := publishTo(t, func(n int, _ string) string {
		if n == 1 {
			return refusal
		}
		return ok
	})
	errs := report(t.Context(), t, b, 4)
	if errs[0] != nil {
		t.Errorf("message 0: %v", errs[0])
	}
	for i, want := range []string{"sealed", "earlier message", "earlier message"} {
		if err := errs[i+1]; err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("message %d: %v, want an error with %q", i+1, err, want)
		}
	}
	if got := f.seen(); !slices.Equal(got, []string{"0", "1"}) {
		t.Errorf("the stream saw %q", got)
	}
	// The lookup is forgotten, the lane is free again.
	b.channels.known["c"] = &channel{name: "c", stream: "tidings=c", partitions: 1}
	if err := report(t.Context(), t, b, 1)[0]; err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func TestNoAnswerIsWaitedForAndThenSentAgain(t *testing.T) {
	t.Parallel()
	b, f := publishTo(t, func(n int, _ string) string {
		if n == 0 {
			return ""
		}
		return ok
	})
	start := time.Now()
	for i, err := range report(t.Context(), t, b, 2) {
		if err != nil {
			t.Errorf("message %d: %v", i, err)
		}
	}
	if took := time.Since(start); took < ackTime {
		t.Errorf("sent again after %s", took)
	}
	if got := f.seen(); !slices.Equal(got, []string{"0", "0", "1"}) {
		t.Errorf("the stream saw %q", got)
	}
}

func TestContextEndsTheWait(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{}, 10)
	b, f := publishTo(t, func(int, string) string { asked <- struct{}{}; return "" })
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-asked; cancel() }()
	for i, err := range report(ctx, t, b, 3) {
		if err == nil || !strings.Contains(err.Error(), context.Canceled.Error()) {
			t.Errorf("message %d: %v", i, err)
		}
	}
	if got := f.seen(); !slices.Equal(got, []string{"0"}) {
		t.Errorf("the stream saw %q", got)
	}
	b.publisher.mu.Lock()
	defer b.publisher.mu.Unlock()
	if len(b.publisher.lanes) > 0 || len(b.publisher.sent) > 0 || len(b.publisher.calls) > 0 {
		t.Errorf("the publisher keeps %d lanes, %d items, %d calls", len(b.publisher.lanes), len(b.publisher.sent), len(b.publisher.calls))
	}
}

func TestCloseFailsWhatIsOutstanding(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{}, 10)
	b, _ := publishTo(t, func(int, string) string { asked <- struct{}{}; return "" })
	go func() { <-asked; _ = b.Close() }()
	for i, err := range report(t.Context(), t, b, 3) {
		if err == nil || !strings.Contains(err.Error(), ErrClosed.Error()) {
			t.Errorf("message %d: %v", i, err)
		}
	}
}

// TestFailureHoldsTheLaneUntilReported hands over more of a key while the
// report of its failure is being made: that must not be stored.
func TestFailureHoldsTheLaneUntilReported(t *testing.T) {
	t.Parallel()
	b, f := publishTo(t, func(n int, _ string) string {
		if n == 0 {
			return refusal
		}
		return ok
	})
	var late error
	reported := make(chan struct{})
	failing := make(chan struct{})
	go func() {
		defer close(reported)
		<-failing
		b.channels.mu.Lock()
		b.channels.known["c"] = &channel{name: "c", stream: "tidings=c", partitions: 1}
		b.channels.mu.Unlock()
		late = publishOne(b, numbered("c", 1))
	}()
	first := make(chan error, 1)
	b.Publish(t.Context(), []*tidings.Message{numbered("c", 0)}, func(_ int, err error) {
		close(failing)
		// The other call is handed over now, or is about to be.
		b.publisher.mu.Lock()
		for q := b.publisher.lanes[lane{Source: "k", Channel: "c"}]; q != nil && len(q.late) == 0; {
			b.publisher.mu.Unlock()
			b.publisher.mu.Lock()
		}
		b.publisher.mu.Unlock()
		first <- err
	})
	if err := <-first; err == nil {
		t.Error("the refused message was reported as stored")
	}
	<-reported
	if late == nil {
		t.Error("a message overtook the one whose failure was being reported")
	}
	if got := f.seen(); !slices.Equal(got, []string{"0"}) {
		t.Errorf("the stream saw %q", got)
	}
}
