// Package tidings is the vocabulary of Tidings: messages, lanes and identifiers.
//
// Tidings keeps services that each own a private database consistent through
// messages, without two-phase commit. A service appends messages to its outbox
// in the transaction that changes its data (package outbox); a relay publishes
// the committed ones in order (package relay); a subscriber's inbox hands each
// of them to its handler exactly once, in the transaction that records it
// (package inbox). Domain events (package event) stand on these three, and
// package service runs them as one program.
//
// This package imports nothing of the project and nothing outside the standard
// library. Everything in it is a plain value: it can be tested without a
// database and without a broker.
package tidings
