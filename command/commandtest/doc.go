// Package commandtest tests handlers of commands without a broker: given what was
// asked before, when a command comes, then this is replied.
//
//	db := memory.New()
//	c := commandtest.New(t, db)
//	c.Receiver(customers(db, c.Outbox()))
//	c.Given(commandtest.Of(Customers, CreateCustomer{ID: "ada", Limit: 100}))
//	c.When(commandtest.Of(Customers, ReserveCredit{CustomerID: "ada", Total: 60}))
//	c.ThenReplied(CreditReserved{Left: 40})
//
// Commands and replies go through the codec both ways, and handlers are called as an
// inbox calls them: each in a transaction that is rolled back when it fails.
// [Case.WhenRetried], [Case.WhenRepeated] and [Case.WhenEnds] try what production will do sooner or later.
package commandtest
