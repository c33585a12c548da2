// Package command asks other services to do something, and answers: commands
// and replies over channels, as Go types with names that the user chooses.
//
// A service sends a command with a [Sender] in its own transaction. The
// participant registers typed handlers with [On] at a [Receiver], whose inbox calls each
// once per command, in the transaction that the handler changes its own data in;
// the answer is appended to the outbox in the same transaction. A handler may answer [Later], from
// another transaction. What nobody handles, what cannot be decoded and what
// fails for good is answered with a failure that says so: nothing waits for ever, and no
// command stops its consumer.
//
// A participant may lock a target for a saga ([Locking]): commands of other sagas
// for it are set aside, in order, until that one has ended.
//
// Sagas (package saga) are built on it. Programs that want to wait for one answer use a
// [Requester]. To test handlers without a database or broker, see command/commandtest.
package command
