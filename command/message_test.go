package command_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"tidings.example"
	"tidings.example/command"
	"tidings.example/store/memory"
)

func TestSendFillsInTheMessage(t *testing.T) {
	t.Parallel()
	db := memory.New()
	sender := command.NewSender(db.Outbox())
	var id string
	err := db.InTx(t.Context(), func(ctx context.Context, tx txn) (err error) {
		id, err = sender.Send(ctx, tx, customers, reserve{"ada", 42}, command.ReplyTo("orders.replies", "o1"),
			command.Headers(tidings.Headers{"tenant": "t1"}))
		if err == nil {
			_, err = sender.Send(ctx, tx, kitchen, &cook{"t", "soup"}, command.ForSaga(command.Saga{Type: "order", ID: "7"}, "cook/1"),
				command.ID("order/7/cook"), command.Repeatable())
		}
		if err == nil {
			_, err = sender.Send(ctx, tx, kitchen, &cook{}, command.Key("k"), command.ForSaga(command.Saga{Type: "order", ID: "7"}, ""))
		}
		if err == nil {
			err = sender.Unlock(ctx, tx, kitchen, command.Saga{Type: "order", ID: "7"})
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	ms := sent(t, db)
	if len(ms) != 4 {
		t.Fatalf("sent %+v", ms)
	}
	m := ms[0]
	want := tidings.Headers{"participant": "customers", "commandid": id, "replychannel": "orders.replies", "replykey": "o1", "tenant": "t1"}
	if m.Channel != "customers.commands" || m.Key != "" || m.Type != "ReserveCredit" || string(m.Payload) != `{"Customer":"ada","Amount":42}` ||
		m.ContentType != "application/json" || id == "" || !sameHeaders(m.Headers, want) {
		t.Errorf("command %+v, payload %s", m, m.Payload)
	}
	m = ms[1]
	want = tidings.Headers{"participant": "kitchen", "commandid": "order/7/cook", "sagatype": "order", "sagaid": "7", "sagastep": "cook/1", "repeatable": "true"}
	if m.Key != "7" || !sameHeaders(m.Headers, want) || m.ID == "order/7/cook" {
		t.Errorf("command of a saga %+v", m)
	}
	if ms[2].Key != "k" {
		t.Errorf("key %q", ms[2].Key)
	}
	m = ms[3]
	if m.Channel != kitchen.Channel || m.Type != command.TypeUnlock || m.Key != "7" ||
		!sameHeaders(m.Headers, tidings.Headers{"participant": "kitchen", "sagatype": "order", "sagaid": "7"}) {
		t.Errorf("unlock %+v", m)
	}
}

func sameHeaders(got, want tidings.Headers) bool {
	for name, value := range want {
		if got[name] != value {
			return false
		}
	}
	return len(got) == len(want)
}

func TestSendRefuses(t *testing.T) {
	t.Parallel()
	db := memory.New()
	send := func(p command.Participant, c command.Command, options ...command.Option) error {
		return db.InTx(t.Context(), func(ctx context.Context, tx txn) error {
			_, err := command.NewSender(db.Outbox()).Send(ctx, tx, p, c, options...)
			return err
		})
	}
	long := strings.Repeat("x", 2000)
	for want, err := range map[string]error{
		"command is nil":                  send(customers, nil),
		"\"kitchen\": the command is nil": send(kitchen, (*cook)(nil)),
		"type \"no spaces\"":              send(customers, nameless{}),
		"participant name is empty":       send(command.Participant{Channel: "c"}, reserve{}),
		"channel is empty":                send(command.Participant{Name: "c"}, reserve{}),
		"encode Unencodable":              send(customers, unencodable{}),
		"cannot be replied to":            send(customers, reserve{}, command.ReplyTo("no channel", "k")),
		"header \"replykey\" has 2000":    send(customers, reserve{}, command.ReplyTo("c", long)),
		"header \"commandid\" has 2000":   send(customers, reserve{}, command.ID(long)),
		"header \"sagaid\" has 2000":      send(customers, reserve{}, command.ForSaga(command.Saga{Type: "t", ID: long}, "")),
		"header \"sagastep\" has 2000":    send(customers, reserve{}, command.ForSaga(command.Saga{Type: "t", ID: "i"}, long)),
		"one has a value":                 send(customers, reserve{}, command.ForSaga(command.Saga{ID: "i"}, "")),
		"header name \"Tenant\"":          send(customers, reserve{}, command.Headers(tidings.Headers{"Tenant": "1"})),
		"control character 0x0a":          send(customers, reserve{}, command.ReplyTo("c", "a\nb")),
		"sender's outbox is nil": func() error {
			_, err := command.NewSender[txn](nil).Send(t.Context(), nil, customers, reserve{})
			return err
		}(),
		"command: the sender's outbox is ": command.NewSender[txn](nil).Unlock(t.Context(), nil, customers, command.Saga{}),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", want, err)
		}
	}
	if err := send(customers, nameless{}); !errors.Is(err, tidings.ErrInvalid) {
		t.Errorf("%v is not ErrInvalid", err)
	}
	if ms := sent(t, db); len(ms) != 0 {
		t.Errorf("sent %+v", ms)
	}
}
