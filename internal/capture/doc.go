// Package capture makes the triggers that write the changes of a table to the
// outbox: what they are called, which messages they write, how a row becomes
// JSON. Each store brings its dialect of SQL and reads its own catalog.
//
// What was asked for is kept inside the triggers. A list beside them could say
// something else than what runs: on MySQL no transaction holds both together, and
// a table that is dropped takes its triggers with it.
package capture
