// Package brokertest is the suite that every adapter of package broker must
// pass: one test for each sentence of the port's contract.
//
//	func TestConformance(t *testing.T) {
//		brokertest.Run(t, func(t *testing.T) brokertest.Broker { return openMine(t) })
//	}
//
// The suite makes channels and subscribers with fresh names, so it can run
// against a server that is in use. It waits for conditions, with a deadline of
// a minute each, and never for time to pass. What a broker can do beyond the
// two ports it shows by implementing [broker.Provisioner], [RawPublisher] or
// [Interruptible], if need be on a wrapper that only the test has.
package brokertest

import (
	"context"
	"testing"

	"tidings.example/broker"
)

// A Broker is what the suite tests.
type Broker interface {
	broker.Publisher
	broker.Subscriber
}

// A RawPublisher can put a record into a channel that no adapter would write:
// one without any header. With it the suite checks that a record that is not a
// message is delivered with an error and stops nothing.
type RawPublisher interface {
	PublishRaw(ctx context.Context, channel string, payload []byte) error
}

// An Interruptible broker can be cut off from its server, or its server be
// restarted. Interrupt returns once the cut has happened and the broker can be
// reached again, or soon will be.
type Interruptible interface {
	Interrupt(t testing.TB)
}

// Run runs the suite. open is called for every test; it registers with
// t.Cleanup what must be closed. The tests run in parallel, except those that
// interrupt the broker, which run first.
func Run(t *testing.T, open func(t *testing.T) Broker) {
	for _, test := range []struct {
		name string
		run  func(t *testing.T, b Broker)
	}{
		{"publish across interruptions", publishAcrossInterruptions},
		{"publish again after failures", publishAgainAfterFailures},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, open(t)) })
	}
	for _, test := range []struct {
		name string
		run  func(t *testing.T, b Broker)
	}{
		{"fields", fields},
		{"undecodable record", undecodable},
		{"order per key", orderPerKey},
		{"done once for each message", doneOnce},
		{"publish with a context that is done", publishDone},
		{"too large", tooLarge},
		{"largest message", largest},
		{"new subscriber starts at the oldest", oldestFirst},
		{"each subscriber gets all", eachGetsAll},
		{"many channels", manyChannels},
		{"members share", membersShare},
		{"partition taken away", takenAway},
		{"acknowledged is not delivered again", ackedStays},
		{"unacknowledged comes again in order", unackedAgain},
		{"acknowledged out of order", ackedOutOfOrder},
		{"at most MaxInFlight", maxInFlight},
		{"stop waits for deliver", stopWaits},
		{"acknowledged while stopping", ackedWhileStopping},
		{"bad subscription", badSubscription},
		{"ensure channels twice", ensureTwice},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.run(t, open(t))
		})
	}
}
