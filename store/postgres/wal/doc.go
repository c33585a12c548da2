// Package wal reads the outbox of a PostgreSQL database from the server's
// write-ahead log, by logical replication with the plugin pgoutput.
//
// [New] wraps the polling source of store/postgres. Its rows come in the order of
// the commits, and reading them costs the tables nothing. It needs
// wal_level = logical and a role with REPLICATION.
//
// What is guaranteed: a row comes once for each time that the log is read past it, the
// same rows at the same positions each time, and none of a transaction that was rolled
// back. The server keeps its log until a checkpoint was confirmed, not merely
// received; it keeps it on its disk, so see max_slot_wal_keep_size in
// docs/formats/log-postgres.md.
//
// The file map: source.go takes the lease, tail.go opens the log (publication.go and
// slot.go look after what the server must have), stream.go reads it (framer.go
// messages, decode.go rows of them, relation.go columns by their names, queue.go
// hands them over), feedback.go answers the server, watch.go looks beside the
// log at what it does not tell, log.go is what the relay sees.
package wal
