// Package commandtest tests handlers of commands without a broker: given what was
// done before, when a command comes, then the participant replies so.
//
//	db := memory.New()
//	c := commandtest.New(t, db)
//	c.Receiver(customers(db, c.Outbox()))
//	c.Given(commandtest.Of(Customers, CreateCustomer{ID: "ada", Limit: 100}))
//	c.When(commandtest.Of(Customers, ReserveCredit{CustomerID: "ada", Total: 142}))
//	c.ThenRefused(CreditLimitExceeded{})
//
// Commands and replies go through the codec both ways, and handlers are called as
// an inbox calls them: each in a transaction that is rolled back when it fails. Locks, remembered
// answers and deferred replies work as they do in production.
package commandtest
