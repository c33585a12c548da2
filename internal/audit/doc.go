// Package audit proves that what a source has numbered is what its channels hold
// and what each subscriber has handled.
//
// Everything is counted, not guessed: numbers of a lane are dense, so a lane's
// numbers are a few intervals, whatever their number. A [Ledger] collects those of
// one channel, [Compare] sets them against the counters of the relay and the
// lanes of the inboxes, [Run] reads all of it from running systems.
//
// # The order of reading
//
// The source's counters and the inboxes are read first, then the ends of the
// channels are asked for, then the channels are read up to there. A number that
// the broker has acknowledged, or that a subscriber has handled, before an end
// was asked for is below that end: where it is missing it was lost, or was never there.
// Then counters and inboxes are read again, until they have caught up with
// what was read, or the time to wait is over: a number that the source has not given
// by then, or a message that was not handled by then, is a difference. Channels
// with differences are read a second time, for the ids.
package audit
