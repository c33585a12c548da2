// Package crash holds the tests that break relays which read a commit log, in
// every way that a process, a network, a database and a broker can break, and
// then count effects in the consumer's database: none missing, none twice, none
// out of the order of its key. There is nothing in it but tests.
//
// The relays are processes of the program tidings, behind networks of their own
// that a test may cut. The servers are the tests' own.
package crash
