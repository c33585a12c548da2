package inboxtest

import (
	"context"
	"errors"
	"sync"

	"tidings.example/inbox"
)

var errInjected = errors.New("injected failure")

// plan of faults: each call takes the next.
type faults struct {
	mu   sync.Mutex
	left []fault
}

func (f *faults) next() fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.left) == 0 {
		return none
	}
	first := f.left[0]
	f.left = f.left[1:]
	return first
}

// faulty is a store whose transactions fail as ordered.
type faulty[Tx any] struct {
	inbox.Storage[Tx]
	faults *faults
}

func (s *faulty[Tx]) InTx(ctx context.Context, fn func(ctx context.Context, tx Tx) error) error {
	fault := s.faults.next()
	err := s.Storage.InTx(ctx, func(ctx context.Context, tx Tx) error {
		if err := fn(ctx, tx); err != nil {
			return err
		}
		if fault == before {
			return errInjected // everything was done, and is undone
		}
		return nil
	})
	if err == nil && fault == after {
		return errInjected
	}
	return err
}

// Transient takes injected failures for lost connections.
func (s *faulty[Tx]) Transient(err error) bool {
	return errors.Is(err, errInjected) || s.Storage.Transient(err)
}
