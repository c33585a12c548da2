// Package relay moves committed messages from an outbox to a broker: in order
// per key, none lost, each with its number.
//
// A [Relay] takes the lease on its source's outbox, and reads rows as long as it
// holds it. Other relays of the same source stand by and take the lease over when
// it runs out or is given up. There are two ways to read; [State.Reading] says
// which.
//
// Polling runs one loop: read committed rows of the table, fix their numbers in a
// plan, commit the plan, publish, and remove the rows once the broker holds them.
// Several plans are on their way at a time. What a kill at any moment leaves
// behind, and why it costs nothing:
//
//   - before a plan is committed: nothing was published; the rows are read again;
//   - after that, before the broker has acknowledged: the next relay reads the
//     plan's rows in the plan's order, gives the same numbers and publishes
//     them, perhaps for the second time. An inbox recognizes the numbers;
//   - after the broker's acknowledgement, before the rows are removed: the same.
//
// Tailing reads the database's log from a [LogSource]. The log has rows in one
// order, so numbers follow from it, and rows are published as they are read. A
// [Checkpoint] is saved beside that, every [Config.Checkpoint]: the position up to
// which the broker has everything, and the counters up to there. What a kill leaves
// behind:
//
//   - rows behind the checkpoint that were published: the next relay reads them
//     again, gives the same numbers, and publishes them for the second time;
//   - rows that were set aside: that was committed before anything behind them
//     was published, so the next relay passes them over in the same places;
//   - a fresh start, which reads in the table what was committed before the log
//     began, and works with plans: as in polling.
//
// A relay that lost its lease without noticing can therefore only repeat
// numbers, never invent them; it publishes nothing once its lease has run out by
// its own clock.
//
// If a message fails, nothing of its channel and key that comes later is stored
// before it: the first failure ends what is handed over, and what is not
// acknowledged goes out again, in order.
//
// The package does no I/O of its own: a [Source] gives rows and takes plans, a
// broker.Publisher takes messages. What decides lies in types without I/O:
// positions.go and gaps.go (which rows are new), numbering.go (which number each
// gets), window.go (what is on its way), holds.go (which keys wait), trail.go (how
// far the log is done). Around them leader.go has what both ways share, with
// recover.go, sort.go and publish.go; poller.go and tailer.go are the ways, and
// lease.go says how long they may run. The scripts in testdata/machine and
// testdata/tail show them at work. To
// test a program with a relay, use the source of store/memory and broker/inproc.
package relay
