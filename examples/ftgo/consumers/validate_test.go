package consumers

import (
	"testing"

	"tidings.example/command"
	"tidings.example/examples/ftgo/messages"
	"tidings.example/examples/shared/sampletest"
)

func TestValidateConsumerInfo(t *testing.T) {
	t.Parallel()
	db := sampletest.Database(t, Name, migrations)
	sent := sampletest.Record(&db)
	s, names := &consumers{store{db}}, messages.Names{}
	ada := Consumer{Limit: 100_00}
	ada.Name.First, ada.Name.Last = "Ada", "Lovelace"
	if err := s.create(t.Context(), &ada); err != nil {
		t.Fatal(err)
	}
	ask := func(id string) command.Replied {
		t.Helper()
		r, err := sampletest.Ask(db, sent, s.receiver(names), names.Consumers(), messages.ValidateConsumerInfo{OrderID: "order-1", ConsumerID: id})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	r := ask(ada.ID)
	body, err := command.ReplyAs[messages.ConsumerValidated](r)
	if err != nil || !r.Success || body != (messages.ConsumerValidated{ConsumerID: ada.ID, SpendingLimit: 100_00}) {
		t.Errorf("reply about a consumer is %v %+v, %v", r.Success, body, err)
	}
	r = ask("nobody")
	if body, err := command.ReplyAs[messages.ConsumerNotFound](r); err != nil || r.Success || body.ConsumerID != "nobody" {
		t.Errorf("reply about nobody is %v %+v, %v", r.Success, body, err)
	}
}
