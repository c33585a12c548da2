// Package natsjs keeps the contract of package broker on NATS JetStream, on a
// server of its own inside the process ([StartEmbedded]) or on a remote one or
// a cluster ([Open] with a URL).
//
// A channel is a stream; its subjects are the channel's partitions, chosen by
// the message's key as Kafka chooses them. A subscriber's position in each
// partition is a lease in a key-value bucket, held by one member at a time.
// JetStream's own acknowledgements are not used, because it redelivers behind
// newer messages. docs/formats/nats.md describes what is stored, and
// docs/decisions/nats.md why.
//
// # Guarantees
//
// A message is reported as published when the stream has stored it. After a
// kill -9 of the server it is still there; whether it survives a loss of power
// depends on the server's sync interval, see [EmbeddedConfig], and on replicas.
// Of one channel and ordering key at most one message is on its way at a time,
// so that a lost one is never overtaken.
//
// Positions are stored once a second and when a subscription ends or hands over
// a partition. After a kill -9 of a subscriber the messages that it had
// acknowledged within the last second are delivered again, and another member takes over its partitions
// about four seconds later; at once if it is started again under the same
// Config.Member.
//
// A process that was suspended for longer than that may go on for a moment
// after waking up, before it notices that it has lost its partitions. What it
// delivers then is delivered to the new holder too; it cannot store a position.
//
// # Testing
//
// StartEmbedded with a temporary directory gives a whole server in
// milliseconds. For tests that only need a broker, package inproc is quicker.
package natsjs
