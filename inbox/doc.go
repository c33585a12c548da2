// Package inbox hands each message to a handler exactly once: in the one
// transaction of the consumer's own database that also records it.
//
// An [Inbox] subscribes to channels of a broker under a subscriber's name. For
// each message it opens a transaction, asks the lane's record whether the
// number was seen before ([Decide]), calls the [Handler] with the transaction,
// writes the record and commits. Only then the broker is told. What a kill at
// any moment leaves behind, and why it costs nothing:
//
//   - before the commit: neither effect nor record; the broker delivers again;
//   - after the commit, before the acknowledgement: the broker delivers again,
//     and the record says that it is a duplicate;
//   - while the commit is on its way: one or the other; the inbox tries again
//     and the record tells.
//
// What remains: a source that opens a new epoch may send its last messages
// again under new numbers, and they are handled again. Effects outside the
// transaction (a mail sent, a call made) are repeated whenever the transaction is.
//
// Messages of one lane are handled one after the other in the order in which
// they arrive; different lanes at the same time. A message that cannot be
// handled is parked: stored whole, with later ones of its key behind it, until
// somebody retries or discards it (package admin). [Config].GiveUp can settle one that the
// handler failed at instead, in the transaction that records it: package command
// tells the sender. docs/formats/inbox.md
// describes the records.
//
// The package does no I/O of its own: a [Storage] keeps the records, a
// broker.Subscriber delivers. What decides is [Decide], without I/O. To test a
// program with it, use store/memory and broker/inproc; to test a store, run
// inbox/inboxtest.
package inbox
