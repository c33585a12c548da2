// Package saga keeps services consistent without two-phase commit: a saga is a
// sequence of local transactions in several services, directed by one of them.
// When a step is refused, what was done before it is undone by compensations.
//
// A saga is defined once, as data and plain functions, with [Define] and the
// steps [Local], [Invoke], [Notify], [Parallel], [FirstOf], [Sub],
// [AwaitEvent] and [WaitUntil]. A [Manager] runs the sagas of a service: each is
// a row in the service's own database, started in the caller's transaction
// with [Start], and goes on with the replies of participants (package command),
// with events and with time. Every change of a saga, what its local steps do,
// and the commands that it sends are one transaction.
//
// What a saga does next is decided by package saga/machine, which has no I/O;
// operators see sagas and their journals, and repair them, with `tidings saga`.
//
// To test a saga without a database or a broker, see saga/sagatest.
package saga
