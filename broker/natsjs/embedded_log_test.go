package natsjs

import (
	"errors"
	"log/slog"
	"testing"
)

// TestServerThatStoresNoMore: the words are those of the server's file store.
func TestServerThatStoresNoMore(t *testing.T) {
	t.Parallel()
	e := &Embedded{log: &serverLog{logger: slog.New(slog.DiscardHandler), failed: make(chan struct{})}}
	e.log.Errorf("JetStream failed to store a msg on stream %q: %v", "s", errors.New("no space left on device"))
	select {
	case <-e.Failed():
		t.Fatal("a message that could not be stored counts as the end of the store")
	default:
	}
	if err := e.Err(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		e.log.Errorf("Filestore [KV_x] Critical write error: %v", errors.New("write 1.blk: no space left on device"))
	}
	<-e.Failed()
	if err := e.Err(); err == nil || err.Error() != "embedded NATS server stores no more: write 1.blk: no space left on device" {
		t.Errorf("the error is %v", err)
	}
}
