package natsjs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// A lease is the entry of one partition in the bucket of positions: how far a
// subscriber has got there, and who reads on. Each change names the revision
// that it replaces, so that whoever has lost the lease cannot change it.
type lease struct {
	// Holder and Incarnation are empty while nobody has the lease.
	Holder      string `json:"holder,omitempty"`
	Incarnation string `json:"incarnation,omitempty"`
	// Position is the sequence of the last record for which it and all before
	// it in the partition were acknowledged; 0 for none.
	Position uint64 `json:"position"`
	// Stream is when the stream was created that Position is a place in.
	Stream time.Time `json:"stream"`
}

// errLeaseLost means that another member has the lease.
var errLeaseLost = errors.New("another member has taken the partition over")

// leases are a subscriber's entries in the bucket of positions, for one of its
// members.
type leases struct {
	kv          jetstream.KeyValue
	connected   *changes
	names       names
	subscriber  string
	holder      string
	incarnation string
}

// read returns the lease of a partition and its revision, 0 if there is none.
func (l *leases) read(ctx context.Context, p place) (lease, uint64, error) {
	ctx, cancel := l.connected.operation(ctx)
	defer cancel()
	entry, err := l.kv.Get(ctx, l.names.positionKey(l.subscriber, p))
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return lease{}, 0, nil
	}
	if err != nil {
		return lease{}, 0, fmt.Errorf("read position: %w", err)
	}
	var found lease
	if err := json.Unmarshal(entry.Value(), &found); err != nil {
		return lease{}, 0, fmt.Errorf("read position %q: %w", entry.Key(), err)
	}
	return found, entry.Revision(), nil
}

// write replaces a revision of a lease and returns the new one, or errStale if
// that is not the current revision.
func (l *leases) write(ctx context.Context, p place, next lease, revision uint64) (uint64, error) {
	value, err := json.Marshal(next)
	if err != nil {
		return 0, fmt.Errorf("encode position: %w", err)
	}
	ctx, cancel := l.connected.operation(ctx)
	defer cancel()
	key := l.names.positionKey(l.subscriber, p)
	if revision == 0 {
		revision, err = l.kv.Create(ctx, key, value)
	} else {
		revision, err = l.kv.Update(ctx, key, value, revision)
	}
	return revision, storeError(err)
}

// errStale means that an entry was changed by somebody else, or by oneself, in
// a change whose answer was lost.
var errStale = errors.New("the entry has changed")

func storeError(err error) error {
	if err == nil {
		return nil
	}
	if api, ok := errors.AsType[*jetstream.APIError](err); ok && api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence ||
		errors.Is(err, jetstream.ErrKeyExists) {
		return errStale
	}
	return fmt.Errorf("store: %w", err)
}

// store writes a position, keeping the lease or giving it up. It returns the
// new revision, or errLeaseLost.
func (l *leases) store(ctx context.Context, p place, position uint64, stream time.Time, keep bool, revision uint64) (uint64, error) {
	next := lease{Position: position, Stream: stream}
	if keep {
		next.Holder, next.Incarnation = l.holder, l.incarnation
	}
	after, err := l.write(ctx, p, next, revision)
	if !errors.Is(err, errStale) {
		return after, err
	}
	// It may have been a change of ours whose answer was lost.
	current, revision, err := l.read(ctx, p)
	if err != nil {
		return 0, err
	}
	if current.Incarnation != l.incarnation {
		return 0, errLeaseLost
	}
	after, err = l.write(ctx, p, next, revision)
	return after, err
}
