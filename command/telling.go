package command

import (
	"context"
	"errors"
	"time"

	"tidings.example"
	"tidings.example/inbox"
)

// telling is an inbox's store that tells those who wait in this process of their
// replies once the transaction that stores them is committed: not before, since it may roll back.
type telling[Tx any] struct {
	inbox.Storage[Tx]
	r *Requester[Tx]
}

// toldKey is the context's key of the replies that a transaction stores.
type toldKey struct{}

func (t *telling[Tx]) InTx(ctx context.Context, fn func(ctx context.Context, tx Tx) error) error {
	var replies []*tidings.Message
	err := t.Storage.InTx(context.WithValue(ctx, toldKey{}, &replies), func(ctx context.Context, tx Tx) error {
		replies = replies[:0] // the store may run fn again
		return fn(ctx, tx)
	})
	if err == nil {
		t.r.tell(replies)
	}
	return err
}

func (r *Requester[Tx]) tell(replies []*tidings.Message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range replies {
		select {
		case r.waiting[m.Headers[HeaderCommandID]] <- m:
		default: // nobody waits here, or was told
		}
	}
}

// CountHeld counts held keys where the store can.
func (t *telling[Tx]) CountHeld(ctx context.Context, subscriber string) (keys int, oldest time.Duration, err error) {
	if counter, ok := t.Storage.(inbox.HeldCounter); ok {
		return counter.CountHeld(ctx, subscriber)
	}
	return 0, 0, errors.ErrUnsupported
}
