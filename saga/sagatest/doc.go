// Package sagatest tests sagas without a database, a broker or participants. What
// runs is the code that runs in production, on store/memory.
//
// [Start] begins a saga whose participants are played by the test, step by step:
//
//	s := sagatest.Start(t, createOrder, CreateOrder{OrderID: "7", CustomerID: "ada", Total: 42})
//	s.ExpectCommand(Customers, ReserveCredit{CustomerID: "ada", Total: 42}).Refuse(CreditLimitExceeded{})
//	s.ExpectEnd(machine.Compensated)
//
// [Explore] plays all participants by models, and tries what can go wrong at
// every step, alone and in combination: refusals, timeouts, late, repeated and lost replies,
// transactions that are rolled back. It reports the shortest history that breaks
// an invariant of the user's.
package sagatest
