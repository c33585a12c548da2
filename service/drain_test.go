package service

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// An inbox that hangs must not take the relay's time as well: what others have
// appended is still to be published.
func TestRelayHasTimeThoughAnInboxHangs(t *testing.T) {
	t.Parallel()
	inbox, relay := newPart("inbox that hangs"), newPart("relay")
	t.Cleanup(func() { close(inbox.finish) })
	_, stop, ended := start(t, Config{Name: "orders", Inboxes: []Component{inbox}, Relays: []Component{relay}, DrainTimeout: 300 * time.Millisecond})
	await(t, "the relay starts", relay.started)
	stop()
	await(t, "the relay is told to stop", relay.stopped)
	select {
	case err := <-ended:
		t.Fatalf("Run did not wait for the relay: %v", err)
	default:
	}
	close(relay.finish)
	err := await(t, "Run returns", ended)
	if err == nil || !strings.Contains(err.Error(), "inbox that hangs") || strings.Contains(err.Error(), "relay") {
		t.Errorf("Run returned %v", err)
	}
}

// failsAtStop is a part that cannot finish what it has begun.
type failsAtStop struct {
	*part
	err error
}

func (f failsAtStop) Run(ctx context.Context) error {
	if err := f.part.Run(ctx); err != nil {
		return err
	}
	return f.err
}

func TestFailureWhileDrainingIsReported(t *testing.T) {
	t.Parallel()
	inbox := failsAtStop{newPart("inbox customers"), errors.New("cannot store positions")}
	close(inbox.finish)
	_, stop, ended := start(t, Config{Name: "orders", Inboxes: []Component{inbox}})
	await(t, "it starts", inbox.started)
	stop()
	if err := await(t, "Run returns", ended); !errors.Is(err, inbox.err) || !strings.Contains(err.Error(), "inbox customers") {
		t.Errorf("Run returned %v", err)
	}
}

// A request that does not end is cut off, so that its client hears of it and the
// relay still has its time.
func TestRequestThatHangsIsCutOff(t *testing.T) {
	t.Parallel()
	arrived, release := make(chan struct{}), make(chan struct{})
	t.Cleanup(func() { close(release) })
	handler := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		close(arrived)
		<-release
	})
	inbox, relay := newPart("inbox"), newPart("relay")
	close(inbox.finish)
	close(relay.finish)
	s, stop, ended := start(t, Config{Name: "orders", Addr: "127.0.0.1:0", Handler: handler,
		Inboxes: []Component{inbox}, Relays: []Component{relay}, DrainTimeout: time.Second})
	await(t, "it starts", inbox.started)
	cut := make(chan error, 1)
	go func() {
		response, err := http.Get("http://" + s.Addr())
		if err == nil {
			response.Body.Close()
		}
		cut <- err
	}()
	await(t, "the request arrives", arrived)
	stop()
	if err := await(t, "the request ends", cut); err == nil {
		t.Error("the request was answered")
	}
	if err := await(t, "Run returns", ended); err == nil || !strings.Contains(fmt.Sprint(err), "http") {
		t.Errorf("Run returned %v", err)
	}
	await(t, "the relay was told to stop", relay.stopped)
}
