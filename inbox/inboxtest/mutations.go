package inboxtest

import (
	"context"

	"tidings.example/inbox"
)

// A mutation is a mistake that the property must find.
type mutation[Tx any] struct {
	name string
	// renumbers makes the model relay number anew after it was killed.
	renumbers bool
	// store, if not nil, makes a store with a mistake of the faultless one.
	store func(s inbox.Storage[Tx], f *faults) inbox.Storage[Tx]
}

func mutations[Tx any]() []mutation[Tx] {
	return []mutation[Tx]{
		{name: "AdvanceOutsideTheHandlersTransaction",
			store: func(s inbox.Storage[Tx], f *faults) inbox.Storage[Tx] { return &saveLater[Tx]{Storage: s, faults: f} }},
		{name: "LateTakenForDuplicate",
			store: func(s inbox.Storage[Tx], f *faults) inbox.Storage[Tx] {
				return &faulty[Tx]{Storage: &forgetHoles[Tx]{s}, faults: f}
			}},
		{name: "RenumberAfterCrash", renumbers: true},
	}
}

// saveLater commits the handler's effects, and then the records, in a
// transaction of their own.
type saveLater[Tx any] struct {
	inbox.Storage[Tx]
	faults *faults
}

type savedKey struct{}

type saved struct {
	subscriber string
	changes    []inbox.Changes
}

func (s *saveLater[Tx]) InTx(ctx context.Context, fn func(ctx context.Context, tx Tx) error) error {
	var later saved
	fault := s.faults.next()
	err := s.Storage.InTx(context.WithValue(ctx, savedKey{}, &later), func(ctx context.Context, tx Tx) error {
		if err := fn(context.WithValue(ctx, savedKey{}, &later), tx); err != nil {
			return err
		}
		if fault == before {
			return errInjected
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case fault == after:
		return errInjected // killed between the two transactions
	}
	return s.Storage.InTx(ctx, func(ctx context.Context, tx Tx) error {
		for _, c := range later.changes {
			if err := s.Storage.Save(ctx, tx, later.subscriber, c); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *saveLater[Tx]) Save(ctx context.Context, tx Tx, subscriber string, c inbox.Changes) error {
	if later, ok := ctx.Value(savedKey{}).(*saved); ok {
		later.subscriber = subscriber
		later.changes = append(later.changes, c)
		return nil
	}
	return s.Storage.Save(ctx, tx, subscriber, c)
}

func (s *saveLater[Tx]) Transient(error) bool { return true }

// forgetHoles remembers of a lane only the highest number, as a plain
// high-water mark does.
type forgetHoles[Tx any] struct{ inbox.Storage[Tx] }

func (s *forgetHoles[Tx]) Lock(ctx context.Context, tx Tx, subscriber string, want inbox.Want) (inbox.Records, error) {
	r, err := s.Storage.Lock(ctx, tx, subscriber, want)
	for i := range r.Lanes {
		r.Lanes[i].Holes = nil
	}
	return r, err
}
