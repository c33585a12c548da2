// Package eventtest tests handlers of events without a broker: given what
// happened before, when an event comes, then these events are published.
//
//	db := memory.New()
//	c := eventtest.New(t, db)
//	c.Subscriber(NewCustomers(c.Outbox()).Events())
//	c.Given(eventtest.Of(Customers, "ada", CustomerCreated{Limit: 100}))
//	c.When(eventtest.Of(Orders, "7", OrderCreated{CustomerID: "ada", Total: 42}))
//	c.ThenPublished(eventtest.Of(Customers, "ada", CreditReserved{OrderID: "7"}))
//
// Events go through the codec both ways, and handlers are called as an inbox
// calls them: each in a transaction that is rolled back when it fails. [Case.WhenRetried],
// [Case.WhenRepeated] and [EachOrder] try what production will do sooner or later.
package eventtest
