package storetest

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"tidings.example"
	"tidings.example/inbox"
	"tidings.example/relay"
)

// env is what each test works with.
type env[Tx any] struct {
	*testing.T
	ctx context.Context
	db  DB[Tx]
}

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

func newEnv[Tx any](t *testing.T, db DB[Tx]) *env[Tx] {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*patience)
	t.Cleanup(cancel)
	return &env[Tx]{T: t, ctx: ctx, db: db}
}

func (e *env[Tx]) ok(err error) {
	e.Helper()
	if err != nil {
		e.Fatal(err)
	}
}

// until calls done now and then until it returns true.
func (e *env[Tx]) until(what string, done func() bool) {
	e.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for !done() {
		select {
		case <-deadline.C:
			e.Fatalf("waited %s for %s", patience, what)
		case <-ticker.C:
		}
	}
}

// pass lets time go by.
func (e *env[Tx]) pass(d time.Duration) {
	<-time.After(d)
}

func message(key string) tidings.Message {
	return tidings.Message{Channel: "orders", Key: key, Type: "OrderCreated", Payload: []byte(`{"total":12.34}`)}
}

// inTx runs fn in a transaction of the user's own and commits it.
func (e *env[Tx]) inTx(fn func(tx Tx) error) {
	e.Helper()
	e.ok(e.tryTx(fn))
}

func (e *env[Tx]) tryTx(fn func(tx Tx) error) error {
	tx, err := e.db.Begin(e.ctx)
	if err != nil {
		return err
	}
	if err := fn(tx); err != nil {
		_ = e.db.Rollback(e.ctx, tx)
		return err
	}
	return e.db.Commit(e.ctx, tx)
}

// append commits one message for each key and returns them, complete.
func (e *env[Tx]) append(keys ...string) []tidings.Message {
	e.Helper()
	ms := make([]tidings.Message, len(keys))
	for i, key := range keys {
		ms[i] = message(key)
	}
	e.appendMessages(ms...)
	return ms
}

func (e *env[Tx]) appendMessages(ms ...tidings.Message) {
	e.Helper()
	e.inTx(func(tx Tx) error { return e.db.Outbox.Append(e.ctx, tx, ms...) })
}

// appendNow appends in an open transaction and makes sure that the row has its
// position: a store may send an append with the next statement.
func (e *env[Tx]) appendNow(tx Tx, key string) {
	e.Helper()
	e.ok(e.db.Outbox.Append(e.ctx, tx, message(key)))
	_, err := e.db.Inbox.Lock(e.ctx, tx, "nobody", inbox.Want{Keys: []inbox.HeldKey{parkedKey(key)}})
	e.ok(err)
}

// appendBeside is append for goroutines other than the test's.
func (e *env[Tx]) appendBeside(key string) {
	if err := e.tryTx(func(tx Tx) error { return e.db.Outbox.Append(e.ctx, tx, message(key)) }); err != nil {
		e.Errorf("append: %v", err)
	}
}

const source = "shop"

// session takes the lease for a long time and gives it up after the test.
func (e *env[Tx]) session() relay.Session {
	e.Helper()
	s, _ := e.acquire("relay-1", time.Hour)
	return s
}

func (e *env[Tx]) acquire(holder string, ttl time.Duration) (relay.Session, relay.State) {
	e.Helper()
	s, st, err := e.db.Relay(source).Acquire(e.ctx, holder, ttl)
	e.ok(err)
	e.releaseLater(s)
	return s, st
}

func (e *env[Tx]) releaseLater(s relay.Session) {
	e.Cleanup(func() {
		if err := s.Release(e.ctx); err != nil {
			e.Errorf("release: %v", err)
		}
	})
}

// everything is a query for all rows.
func everything() relay.Query { return relay.Query{Limit: 100_000, Bytes: 1 << 30} }

func (e *env[Tx]) read(s relay.Session, q relay.Query) []relay.Row {
	e.Helper()
	rows, err := s.Read(e.ctx, q)
	e.ok(err)
	return rows
}

func (e *env[Tx]) commit(s relay.Session, c relay.Change) {
	e.Helper()
	e.ok(s.Commit(e.ctx, c))
}

func positionsOf(rows []relay.Row) []int64 {
	ps := make([]int64, len(rows))
	for i, r := range rows {
		ps[i] = r.Position
	}
	return ps
}

func keysOf(rows []relay.Row) []string {
	keys := make([]string, len(rows))
	for i, r := range rows {
		keys[i] = r.Message.Key
	}
	return keys
}

// sameMessage says how two messages differ, or is empty.
func sameMessage(got, want tidings.Message) string {
	switch {
	case got.ID != want.ID:
		return fmt.Sprintf("id is %q, want %q", got.ID, want.ID)
	case got.Source != want.Source:
		return fmt.Sprintf("source is %q, want %q", got.Source, want.Source)
	case got.Channel != want.Channel:
		return fmt.Sprintf("channel is %q, want %q", got.Channel, want.Channel)
	case got.Key != want.Key:
		return fmt.Sprintf("key is %q, want %q", got.Key, want.Key)
	case got.Type != want.Type:
		return fmt.Sprintf("type is %q, want %q", got.Type, want.Type)
	case got.Subject != want.Subject:
		return fmt.Sprintf("subject is %q, want %q", got.Subject, want.Subject)
	case !got.Time.Equal(want.Time) || got.Time.Location() != time.UTC:
		return fmt.Sprintf("time is %s, want %s", got.Time, want.Time)
	case got.ContentType != want.ContentType:
		return fmt.Sprintf("content type is %q, want %q", got.ContentType, want.ContentType)
	case !maps.Equal(got.Headers, want.Headers):
		return fmt.Sprintf("headers are %q, want %q", got.Headers, want.Headers)
	case !bytes.Equal(got.Payload, want.Payload):
		return fmt.Sprintf("payload is %.100q (%d bytes), want %.100q (%d bytes)", got.Payload, len(got.Payload), want.Payload, len(want.Payload))
	case got.Stamp != want.Stamp:
		return fmt.Sprintf("stamp is %+v, want %+v", got.Stamp, want.Stamp)
	}
	return ""
}

// wantRows checks that rows hold exactly these messages, in this order.
func (e *env[Tx]) wantRows(rows []relay.Row, want []tidings.Message) {
	e.Helper()
	if len(rows) != len(want) {
		e.Fatalf("read %d rows, want %d", len(rows), len(want))
	}
	for i, r := range rows {
		if r.Err != nil {
			e.Fatalf("row %d: %v", i, r.Err)
		}
		if diff := sameMessage(r.Message, want[i]); diff != "" {
			e.Fatalf("row %d: %s", i, diff)
		}
		if i > 0 && rows[i-1].Position >= r.Position {
			e.Fatalf("row %d has position %d after %d", i, r.Position, rows[i-1].Position)
		}
	}
}

func (e *env[Tx]) wantKeys(rows []relay.Row, want ...string) {
	e.Helper()
	if got := keysOf(rows); !slices.Equal(got, want) {
		e.Fatalf("read rows with keys %q, want %q", got, want)
	}
}
