// Package kafka is the adapter of package broker for Apache Kafka (2.4 or
// later) and what speaks its protocol. A channel is a topic; a subscriber is a
// consumer group.
//
// What it promises, beyond the port:
//
//   - Records are keyed by the message's ordering key, and the partition is the
//     one that Kafka's own producers choose for that key.
//   - Publishing is idempotent with acks=all: a record is reported as stored
//     when all in-sync replicas have it. See [Broker.Publish] for what happens
//     to order when publishing fails.
//   - A position is committed every half second, and when a partition is
//     handed to another member and at the end, after the deliveries that run
//     have returned.
//
// To change the number of partitions of a topic moves keys between partitions:
// Kafka then no longer orders a key's messages across the change. Let the
// subscribers catch up, with the relay stopped, before and after.
//
// To test code that uses a broker, take package broker/inproc; the tests of this
// package run against a real server.
package kafka
