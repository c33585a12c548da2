// Package commandtest tests handlers of commands without a broker: when a command
// comes, then this is answered, sent and locked.
//
//	db := memory.New()
//	c := commandtest.New(t, db.Commands())
//	c.Receiver(NewCustomers(c.Outbox(), db.Commands()).Commands())
//	c.When(Customers, ReserveCredit{CustomerID: "ada", Amount: 42}, commandtest.Saga("create-order", "7"))
//	c.ThenSucceeded(CreditReserved{Left: 58})
//	c.ThenLocked("Customer/ada")
//
// Commands and replies go through the codec both ways, and handlers are called as an
// inbox calls them: each in a transaction that is rolled back when it fails, and after a
// failure for good the command is rejected.
package commandtest
