package event_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"tidings.example"
	"tidings.example/broker/inproc"
	"tidings.example/codec"
	"tidings.example/event"
	"tidings.example/inbox"
	"tidings.example/relay"
	"tidings.example/store/memory"
)

// Renamed is an event whose Go type and name on the wire differ.
type Renamed struct{ N int }

func (Renamed) EventType() string { return "shop.renamed.v2" }

// ByPointer is an event that is handled by pointer.
type ByPointer struct{ Text string }

func (*ByPointer) EventType() string { return "ByPointer" }

// Nameless is no event that can be sent.
type Nameless struct{}

func (Nameless) EventType() string { return "no spaces" }

func publish(t *testing.T, db *memory.DB, p *event.Publisher[*memory.Tx], id string, events ...event.Event) error {
	t.Helper()
	return db.InTx(t.Context(), func(ctx context.Context, tx *memory.Tx) error {
		return p.Publish(ctx, tx, id, events...)
	})
}

// published returns what is in the outbox.
func published(t *testing.T, db *memory.DB) []tidings.Message {
	t.Helper()
	session, _, err := db.Relay("test").Acquire(t.Context(), "test", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := session.Read(t.Context(), relay.Query{Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	var ms []tidings.Message
	for _, r := range rows {
		ms = append(ms, r.Message)
	}
	return ms
}

func TestPublishFillsInTheMessage(t *testing.T) {
	t.Parallel()
	db := memory.New()
	orders := event.NewPublisher(Orders, db.Outbox())
	if err := publish(t, db, orders, "7", OrderCreated{CustomerID: "ada", Total: 42}, Renamed{N: 1}); err != nil {
		t.Fatal(err)
	}
	ms := published(t, db)
	if len(ms) != 2 {
		t.Fatalf("published %+v", ms)
	}
	m := ms[0]
	if m.Channel != "orders" || m.Key != "7" || m.Type != "OrderCreated" || m.ContentType != "application/json" ||
		string(m.Payload) != `{"CustomerID":"ada","Total":42}` || m.Headers[event.HeaderAggregateType] != "Order" {
		t.Errorf("message %+v, payload %s", m, m.Payload)
	}
	if ms[1].Type != "shop.renamed.v2" {
		t.Errorf("second message %+v", ms[1])
	}
}

func TestPublishRefuses(t *testing.T) {
	t.Parallel()
	db := memory.New()
	orders := event.NewPublisher(Orders, db.Outbox())
	var none *ByPointer
	for want, err := range map[string]error{
		"aggregate's id is empty": publish(t, db, orders, "", Renamed{}),
		"event 1 is nil":          publish(t, db, orders, "7", Renamed{}, nil),
		"event 0 is nil":          publish(t, db, orders, "7", none),
		"type \"no spaces\"":      publish(t, db, orders, "7", Nameless{}),
		"aggregate name is empty": publish(t, db, event.NewPublisher(event.Aggregate{Channel: "c"}, db.Outbox()), "7", Renamed{}),
		"channel is empty":        publish(t, db, event.NewPublisher(event.Aggregate{Name: "A"}, db.Outbox()), "7", Renamed{}),
		"outbox is nil":           publish(t, db, event.NewPublisher[*memory.Tx](Orders, nil), "7", Renamed{}),
		"encode Unencodable":      publish(t, db, orders, "7", Unencodable{}),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", want, err)
		}
	}
	if ms := published(t, db); len(ms) != 0 {
		t.Errorf("published %+v", ms)
	}
}

type Unencodable struct{ F func() }

func (Unencodable) EventType() string { return "Unencodable" }

// deliver hands a message to a subscriber.
func deliver(sub *event.Subscriber[*memory.Tx], change func(m *tidings.Message)) error {
	m := tidings.Message{ID: "1", Channel: "orders", Key: "7", Type: "OrderCreated", ContentType: "application/json",
		Headers: tidings.Headers{event.HeaderAggregateType: "Order"}, Payload: []byte(`{"CustomerID":"ada","Total":42}`)}
	if change != nil {
		change(&m)
	}
	return sub.Handle(context.Background(), nil, &m)
}

func TestHandlersGetTheirEvents(t *testing.T) {
	t.Parallel()
	var got []string
	sub := event.NewSubscriber[*memory.Tx]("customers")
	event.On(sub, Orders, func(_ context.Context, _ *memory.Tx, e event.Of[OrderCreated]) error {
		got = append(got, fmt.Sprint(e.AggregateID, e.Data.CustomerID, e.Data.Total, e.Message.Type))
		return nil
	}, event.Also("OrderCreated.v0"))
	event.On(sub, Orders, func(_ context.Context, _ *memory.Tx, e event.Of[*ByPointer]) error {
		got = append(got, e.Data.Text)
		return nil
	})
	invoices := event.Aggregate{Name: "Invoice", Channel: "orders"}
	event.On(sub, invoices, func(_ context.Context, _ *memory.Tx, e event.Of[*ByPointer]) error {
		got = append(got, "invoice "+e.Data.Text)
		return nil
	})
	if err := sub.Err(); err != nil {
		t.Fatal(err)
	}
	if got := sub.Channels(); !slices.Equal(got, []string{"orders"}) {
		t.Errorf("channels %q", got)
	}
	foreign := func(m *tidings.Message) { m.Headers, m.Key, m.Subject = nil, "", "9" }
	byPointer := func(m *tidings.Message) { m.Type, m.Payload = "ByPointer", []byte(`{"Text":"hello"}`) }
	for _, change := range []func(m *tidings.Message){
		nil,
		func(m *tidings.Message) { m.Type = "OrderCreated.v0" },
		foreign,
		byPointer,
		func(m *tidings.Message) { byPointer(m); m.Headers[event.HeaderAggregateType] = "Invoice" },
		func(m *tidings.Message) { m.Type = "OrderForgotten" },
		func(m *tidings.Message) { m.Type = "OrderForgotten" },
		func(m *tidings.Message) { m.Headers[event.HeaderAggregateType] = "Basket" },
	} {
		if err := deliver(sub, change); err != nil {
			t.Error(err)
		}
	}
	want := []string{"7ada42OrderCreated", "7ada42OrderCreated.v0", "9ada42OrderCreated", "hello", "invoice hello"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	skips := []event.Skip{{Channel: "orders", Type: "OrderForgotten", Count: 2}, {Channel: "orders", Type: "OrderCreated", Count: 1}}
	if got := sub.Skipped(); !slices.Equal(got, skips) {
		t.Errorf("skipped %v", got)
	}
	// Without an aggregate's name, a type of two aggregates is nobody's.
	err := deliver(sub, func(m *tidings.Message) { byPointer(m); foreign(m) })
	if !inbox.IsPermanent(err) || !strings.Contains(err.Error(), "several aggregates") {
		t.Errorf("ambiguous: %v", err)
	}
}

func TestSkippedTypesAreBounded(t *testing.T) {
	t.Parallel()
	sub := event.NewSubscriber[*memory.Tx]("customers")
	for i := range 300 {
		if err := deliver(sub, func(m *tidings.Message) { m.Type = fmt.Sprint("T", i) }); err != nil {
			t.Fatal(err)
		}
	}
	skips := sub.Skipped()
	if last := skips[len(skips)-1]; len(skips) != 201 || last != (event.Skip{Count: 100}) {
		t.Errorf("%d types, the last %v", len(skips), last)
	}
}

func TestUndecodablePayloadIsPermanent(t *testing.T) {
	t.Parallel()
	lenient, strict := event.NewSubscriber[*memory.Tx]("lenient"), event.NewSubscriber[*memory.Tx]("strict")
	handler := func(context.Context, *memory.Tx, event.Of[OrderCreated]) error { return nil }
	event.On(lenient, Orders, handler)
	event.On(strict, event.Aggregate{Name: "Order", Channel: "orders", Codec: codec.JSON{DisallowUnknownFields: true}}, handler)
	for payload, want := range map[string]string{
		`{"CustomerID":"ada"}`:            "",
		`{"customerid":"ada"} `:           "",
		`{"CustomerID":"ada","Added":1}`:  "strict",
		``:                                "both",
		`null`:                            "both",
		`{"CustomerID":"ada"`:             "both",
		`{"CustomerID":"ada"} {}`:         "both",
		`{"CustomerID":"ada"} x`:          "both",
		`{"CustomerID":"ada","Total":"1"`: "both",
		`[]`:                              "both",
	} {
		change := func(m *tidings.Message) { m.Payload = []byte(payload) }
		if err := deliver(lenient, change); (err != nil) != (want == "both") || err != nil && !inbox.IsPermanent(err) {
			t.Errorf("lenient %s: %v", payload, err)
		}
		if err := deliver(strict, change); (err != nil) != (want != "") || err != nil && !inbox.IsPermanent(err) {
			t.Errorf("strict %s: %v", payload, err)
		}
	}
	for contentType, ok := range map[string]bool{"": true, "application/json; charset=utf-8": true,
		"application/vnd.shop+json": true, "text/plain": false, ";;": false} {
		err := deliver(lenient, func(m *tidings.Message) { m.ContentType = contentType })
		if (err == nil) != ok {
			t.Errorf("content type %q: %v", contentType, err)
		}
	}
}

// upper is a codec of the user's own.
type upper struct{}

func (upper) ContentType() string                    { return "text/x-upper" }
func (upper) Encode(e any) ([]byte, error)           { return []byte(strings.ToUpper(e.(Note).Text)), nil }
func (upper) Decode(_ string, p []byte, e any) error { e.(*Note).Text = string(p); return nil }

type Note struct{ Text string }

func (Note) EventType() string { return "Note" }

func TestCodecCanBeReplaced(t *testing.T) {
	t.Parallel()
	notes := event.Aggregate{Name: "Notebook", Channel: "notes", Codec: upper{}}
	db := memory.New()
	if err := publish(t, db, event.NewPublisher(notes, db.Outbox()), "1", Note{Text: "hello"}); err != nil {
		t.Fatal(err)
	}
	ms := published(t, db)
	if len(ms) != 1 || string(ms[0].Payload) != "HELLO" || ms[0].ContentType != "text/x-upper" {
		t.Fatalf("published %+v", ms)
	}
	got := ""
	sub := event.NewSubscriber[*memory.Tx]("reader")
	event.On(sub, notes, func(_ context.Context, _ *memory.Tx, e event.Of[Note]) error {
		got = e.Data.Text
		return nil
	})
	if err := sub.Handle(t.Context(), nil, &ms[0]); err != nil || got != "HELLO" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestWrongRegistrationIsAnError(t *testing.T) {
	t.Parallel()
	handler := func(context.Context, *memory.Tx, event.Of[OrderCreated]) error { return nil }
	db, broker := memory.New(), inproc.New(inproc.Config{})
	good := inbox.Config[*memory.Tx]{Store: db.Inbox(), Broker: broker}
	for want, register := range map[string]func(sub *event.Subscriber[*memory.Tx]){
		"OrderCreated of aggregate Order has two handlers": func(sub *event.Subscriber[*memory.Tx]) {
			event.On(sub, Orders, handler)
			event.On(sub, Orders, handler)
		},
		"handler for OrderCreated of Order is nil": func(sub *event.Subscriber[*memory.Tx]) {
			event.On[*memory.Tx, OrderCreated](sub, Orders, nil)
		},
		"event.Event is not the type of an event": func(sub *event.Subscriber[*memory.Tx]) {
			event.On(sub, Orders, func(context.Context, *memory.Tx, event.Of[event.Event]) error { return nil })
		},
		"aggregate name is empty": func(sub *event.Subscriber[*memory.Tx]) {
			event.On(sub, event.Aggregate{Channel: "c"}, handler)
		},
		"type is empty":   func(sub *event.Subscriber[*memory.Tx]) { event.On(sub, Orders, handler, event.Also("")) },
		"has no handlers": func(*event.Subscriber[*memory.Tx]) {},
	} {
		sub := event.NewSubscriber[*memory.Tx]("customers")
		register(sub)
		if _, err := sub.Inbox(good); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: Inbox returned %v", want, err)
		}
		// Messages wait rather than get lost or parked.
		if sub.Err() != nil && !inbox.IsTransient(deliver(sub, nil)) {
			t.Errorf("%s: Handle does not hold everything up", want)
		}
	}
	sub := event.NewSubscriber[*memory.Tx]("customers")
	event.On(sub, Orders, handler)
	good.Subscriber = "other"
	if _, err := sub.Inbox(good); err == nil || !strings.Contains(err.Error(), "leave Subscriber") {
		t.Errorf("Inbox returned %v", err)
	}
}

// TestCausesCarryOn follows a request through two services: the ids on the
// last message lead back to the first.
func TestCausesCarryOn(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
	defer stop()
	db, broker := memory.New(), inproc.New(inproc.Config{})
	notes := event.Aggregate{Name: "Notebook", Channel: "notes"}
	orders, notebook := event.NewPublisher(Orders, db.Outbox()), event.NewPublisher(notes, db.Outbox())
	arrived := make(chan map[string]string, 1)

	first := event.NewSubscriber[*memory.Tx]("first")
	event.On(first, Orders, func(ctx context.Context, tx *memory.Tx, e event.Of[OrderCreated]) error {
		return notebook.Publish(ctx, tx, "1", Note{Text: "order " + e.AggregateID})
	})
	second := event.NewSubscriber[*memory.Tx]("second")
	event.On(second, notes, func(_ context.Context, _ *memory.Tx, e event.Of[Note]) error {
		got := map[string]string{"text": e.Data.Text, "source": e.Message.Source}
		maps.Copy(got, e.Message.Headers)
		arrived <- got
		return nil
	})

	r, err := relay.New(relay.Config{Source: db.Relay("shop"), Broker: broker})
	if err != nil {
		t.Fatal(err)
	}
	runs := []func(context.Context) error{r.Run}
	for _, sub := range []*event.Subscriber[*memory.Tx]{first, second} {
		in, err := sub.Inbox(inbox.Config[*memory.Tx]{Store: db.Inbox(), Broker: broker})
		if err != nil {
			t.Fatal(err)
		}
		runs = append(runs, in.Run)
	}
	ended := make(chan error, len(runs))
	for _, run := range runs {
		go func() { ended <- run(ctx) }()
	}

	request := tidings.Message{ID: "request", Channel: "orders", Key: "7", Type: "OrderCreated",
		Headers: tidings.Headers{event.HeaderAggregateType: "Order", tidings.HeaderCorrelationID: "web-1", tidings.HeaderTraceparent: "00-trace"},
		Payload: []byte(`{"CustomerID":"ada","Total":42}`)}
	err = db.InTx(ctx, func(ctx context.Context, tx *memory.Tx) error {
		// Nobody handles this one; the next has the same key and comes after it.
		if err := orders.Publish(ctx, tx, "7", Renamed{}); err != nil {
			return err
		}
		return db.Outbox().Append(ctx, tx, request)
	})
	if err != nil {
		t.Fatal(err)
	}
	select {
	case got := <-arrived:
		want := map[string]string{"text": "order 7", "source": "shop", event.HeaderAggregateType: "Notebook",
			tidings.HeaderCausationID: "request", tidings.HeaderCorrelationID: "web-1", tidings.HeaderTraceparent: "00-trace"}
		if !maps.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	case <-ctx.Done():
		t.Fatal("nothing arrived")
	}
	stop()
	for range runs {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	if skips := first.Skipped(); len(skips) != 1 || skips[0].Type != "shop.renamed.v2" {
		t.Errorf("skipped %v", skips)
	}
}
