package commandtest_test

import (
	"context"
	"errors"
	"strconv"
	"testing"

	"tidings.example/command"
	"tidings.example/command/commandtest"
	"tidings.example/inbox"
	"tidings.example/outbox"
	"tidings.example/store/memory"
)

var Customers = command.Participant{Name: "customers", Channel: "customers.commands"}

type (
	CreateCustomer struct {
		ID    string
		Limit int
	}
	ReserveCredit struct {
		CustomerID string
		Total      int
	}
	CreditReserved      struct{ Left int }
	CreditLimitExceeded struct{}
)

func (CreateCustomer) CommandType() string    { return "CreateCustomer" }
func (ReserveCredit) CommandType() string     { return "ReserveCredit" }
func (CreditReserved) ReplyType() string      { return "CreditReserved" }
func (CreditLimitExceeded) ReplyType() string { return "CreditLimitExceeded" }

// customers is the service under test.
func customers(db *memory.DB, o *outbox.Outbox[*memory.Tx]) *command.Receiver[*memory.Tx] {
	r := command.NewReceiver("customers", o, db.Commands())
	command.On(r, Customers, func(ctx context.Context, tx *memory.Tx, c command.Of[CreateCustomer]) (command.Answer, error) {
		return command.Done(), tx.Put(ctx, c.Data.ID, strconv.Itoa(c.Data.Limit))
	})
	command.On(r, Customers, func(ctx context.Context, tx *memory.Tx, c command.Of[ReserveCredit]) (command.Answer, error) {
		text, err := tx.Get(ctx, c.Data.CustomerID)
		if err != nil {
			return command.Answer{}, err
		}
		left, err := strconv.Atoi(text)
		if err != nil {
			return command.Answer{}, inbox.Permanent(errors.New("no such customer"))
		}
		if left -= c.Data.Total; left < 0 {
			return command.Fail(CreditLimitExceeded{}), nil
		}
		return command.Succeed(CreditReserved{left}), tx.Put(ctx, c.Data.CustomerID, strconv.Itoa(left))
	}, command.Locking(func(c ReserveCredit) string { return "Customer/" + c.CustomerID }))
	return r
}

// A test of handlers: given, when, then.
func TestCustomersReserveCredit(t *testing.T) {
	t.Parallel()
	db := memory.New()
	c := commandtest.New(t, db)
	c.Receiver(customers(db, c.Outbox()))

	c.Given(commandtest.Of(Customers, CreateCustomer{ID: "ada", Limit: 100}))
	c.When(commandtest.Of(Customers, ReserveCredit{CustomerID: "ada", Total: 60})).ThenReplied(CreditReserved{Left: 40})
	c.When(commandtest.Of(Customers, ReserveCredit{CustomerID: "ada", Total: 60})).ThenRefused(CreditLimitExceeded{})
	c.When(commandtest.Of(Customers, ReserveCredit{CustomerID: "bob"})).ThenFails(commandtest.Permanent)
	c.WhenRetried(commandtest.Of(Customers, ReserveCredit{CustomerID: "ada", Total: 1})).ThenReplied(CreditReserved{Left: 39})
	c.WhenRepeated(commandtest.Of(Customers, ReserveCredit{CustomerID: "ada", Total: 1})).ThenReplied(CreditReserved{Left: 38})
}

// A second saga waits for what the first one has locked.
func TestCustomersAreLockedForASaga(t *testing.T) {
	t.Parallel()
	db := memory.New()
	c := commandtest.New(t, db)
	c.Receiver(customers(db, c.Outbox()))
	c.Given(commandtest.Of(Customers, CreateCustomer{ID: "ada", Limit: 100}))
	one, two := command.Saga{Type: "create-order", ID: "1"}, command.Saga{Type: "create-order", ID: "2"}
	reserve := ReserveCredit{CustomerID: "ada", Total: 60}

	c.When(commandtest.Of(Customers, reserve, command.ForSaga(one, "reserve/1"))).ThenReplied(CreditReserved{Left: 40})
	c.When(commandtest.Of(Customers, reserve, command.ForSaga(two, "reserve/1"))).ThenNoReply()
	c.WhenEnds(Customers, one).ThenRefused(CreditLimitExceeded{})
}
