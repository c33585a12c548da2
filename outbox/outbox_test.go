package outbox_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"tidings.example"
	"tidings.example/outbox"
)

// transaction is one of a database that only remembers what was inserted.
type transaction struct{ inserted []tidings.Message }

// store inserts into transactions, or fails.
type store struct{ err error }

func (s store) Insert(_ context.Context, tx *transaction, ms []tidings.Message) error {
	if s.err != nil {
		return s.err
	}
	tx.inserted = append(tx.inserted, ms...)
	return nil
}

func created(key string) tidings.Message {
	return tidings.Message{Channel: "orders", Key: key, Type: "OrderCreated", Payload: []byte("{}")}
}

// appended returns what a store gets.
func appended(t *testing.T, ctx context.Context, ms ...tidings.Message) []tidings.Message {
	t.Helper()
	var tx transaction
	if err := outbox.New(store{}, 0).Append(ctx, &tx, ms...); err != nil {
		t.Fatal(err)
	}
	return tx.inserted
}

func TestAppendFillsInWhatIsMissing(t *testing.T) {
	t.Parallel()
	before := time.Now().Truncate(time.Microsecond)
	ms := []tidings.Message{created("a"), created("b")}
	got := appended(t, t.Context(), ms...)
	if len(got) != 2 || got[0].Key != "a" || got[1].Key != "b" {
		t.Fatalf("inserted %v", got)
	}
	for i, m := range got {
		if err := m.Validate(); err != nil {
			t.Errorf("message %d: %v", i, err)
		}
		if m.ID == "" || m.ContentType != "application/json" || m.Time.Before(before) || m.Time.Location() != time.UTC {
			t.Errorf("message %d: %+v", i, m)
		}
		if m.ID != ms[i].ID {
			t.Errorf("the caller reads the id %q, and %q is stored", ms[i].ID, m.ID)
		}
		if m.Headers != nil {
			t.Errorf("headers outside a handler: %v", m.Headers)
		}
	}
	if got[0].ID >= got[1].ID {
		t.Errorf("ids do not sort in the order of appending: %s, %s", got[0].ID, got[1].ID)
	}
}

func TestAppendKeepsWhatIsThere(t *testing.T) {
	t.Parallel()
	m := created("a")
	m.ID, m.ContentType, m.Subject = "order-1/created", "text/plain", "an order"
	m.Time = time.Date(2030, 1, 2, 3, 4, 5, 123456789, time.FixedZone("", 3600))
	m.Headers = tidings.Headers{"tenant": "t1"}
	got := appended(t, t.Context(), m)[0]
	if got.ID != m.ID || got.ContentType != m.ContentType || got.Subject != m.Subject || got.Headers["tenant"] != "t1" {
		t.Errorf("got %+v", got)
	}
	if want := time.Date(2030, 1, 2, 2, 4, 5, 123456000, time.UTC); got.Time != want {
		t.Errorf("time %s, want %s", got.Time, want)
	}
}

func TestAppendCarriesTheCauseOn(t *testing.T) {
	t.Parallel()
	const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	first := tidings.Message{ID: "m1"}
	later := tidings.Message{ID: "m2", Headers: tidings.Headers{
		tidings.HeaderCorrelationID: "m1", tidings.HeaderCausationID: "m1", tidings.HeaderTraceparent: trace, "tenant": "t1"}}
	own := created("a")
	own.Headers = tidings.Headers{tidings.HeaderCorrelationID: "mine", tidings.HeaderTraceparent: "my trace"}
	for name, c := range map[string]struct {
		cause   tidings.Message
		message tidings.Message
		want    tidings.Headers
	}{
		"the first message begins the correlation": {first, created("a"),
			tidings.Headers{tidings.HeaderCorrelationID: "m1", tidings.HeaderCausationID: "m1"}},
		"later ones go on with it, and with nothing else": {later, created("a"),
			tidings.Headers{tidings.HeaderCorrelationID: "m1", tidings.HeaderCausationID: "m2", tidings.HeaderTraceparent: trace}},
		"what the message says itself stands": {later, own,
			tidings.Headers{tidings.HeaderCorrelationID: "mine", tidings.HeaderCausationID: "m2", tidings.HeaderTraceparent: "my trace"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := tidings.WithCause(t.Context(), &c.cause)
			// Twice, as where a transaction is tried again with the same messages.
			for _, got := range append(appended(t, ctx, c.message), appended(t, ctx, c.message)...) {
				if len(got.Headers) != len(c.want) {
					t.Errorf("headers %v, want %v", got.Headers, c.want)
				}
				for header, value := range c.want {
					if got.Headers[header] != value {
						t.Errorf("header %s is %q, want %q", header, got.Headers[header], value)
					}
				}
			}
		})
	}
	if len(own.Headers) != 2 {
		t.Errorf("the caller's headers were changed: %v", own.Headers)
	}
}

// One bad message among good ones: the error names what is wrong, and nothing
// is written.
func TestAppendWritesNothingOfWhatIsWrong(t *testing.T) {
	t.Parallel()
	for field, change := range map[string]func(m *tidings.Message){
		"channel":      func(m *tidings.Message) { m.Channel = "" },
		"type":         func(m *tidings.Message) { m.Type = "Order Created" },
		"key":          func(m *tidings.Message) { m.Key = strings.Repeat("k", tidings.MaxKey+1) },
		"id":           func(m *tidings.Message) { m.ID = "a\x00b" },
		"subject":      func(m *tidings.Message) { m.Subject = "\xff" },
		"content type": func(m *tidings.Message) { m.ContentType = "text\n" },
		"time":         func(m *tidings.Message) { m.Time = time.Date(12000, 1, 1, 0, 0, 0, 0, time.UTC) },
		"header":       func(m *tidings.Message) { m.Headers = tidings.Headers{"source": "x"} },
		"payload":      func(m *tidings.Message) { m.Payload = make([]byte, outbox.DefaultMaxPayload+1) },
	} {
		t.Run(field, func(t *testing.T) {
			t.Parallel()
			var tx transaction
			bad := created("a")
			change(&bad)
			err := outbox.New(store{}, 0).Append(t.Context(), &tx, created("a"), bad)
			var invalid *tidings.InvalidError
			if !errors.As(err, &invalid) || !errors.Is(err, tidings.ErrInvalid) || invalid.Field != field {
				t.Errorf("got %v, want an error about %s", err, field)
			}
			if len(tx.inserted) != 0 {
				t.Errorf("inserted %v", tx.inserted)
			}
		})
	}
}

func TestMaxPayload(t *testing.T) {
	t.Parallel()
	var tx transaction
	box := outbox.New(store{}, 10)
	m := created("a")
	m.Payload = []byte("0123456789")
	if err := box.Append(t.Context(), &tx, m); err != nil {
		t.Errorf("a payload of the limit: %v", err)
	}
	m.Payload = append(m.Payload, 'x')
	err := box.Append(t.Context(), &tx, m)
	if !errors.Is(err, tidings.ErrInvalid) || !strings.Contains(err.Error(), "11 bytes, more than the outbox's limit of 10") {
		t.Errorf("a payload above the limit: %v", err)
	}
	if m.Payload = nil; box.Append(t.Context(), &tx, m) != nil {
		t.Errorf("an empty payload is refused")
	}
	if len(tx.inserted) != 2 {
		t.Errorf("inserted %v", tx.inserted)
	}
}

func TestAppendReturnsTheStoresError(t *testing.T) {
	t.Parallel()
	broken := errors.New("connection reset")
	err := outbox.New(store{broken}, 0).Append(t.Context(), &transaction{}, created("a"))
	if !errors.Is(err, broken) || errors.Is(err, tidings.ErrInvalid) {
		t.Errorf("got %v", err)
	}
	// Nothing to append is no call.
	if err := outbox.New(store{broken}, 0).Append(t.Context(), &transaction{}); err != nil {
		t.Errorf("no messages: %v", err)
	}
}

// The caller's slice is passed on as it is: its order is the order of the key.
func TestAppendKeepsTheOrder(t *testing.T) {
	t.Parallel()
	var ms []tidings.Message
	for _, id := range []string{"c", "a", "b"} {
		m := created("k")
		m.ID = id
		ms = append(ms, m)
	}
	var ids []string
	for _, m := range appended(t, t.Context(), ms...) {
		ids = append(ids, m.ID)
	}
	if !slices.Equal(ids, []string{"c", "a", "b"}) {
		t.Errorf("inserted %v", ids)
	}
}
