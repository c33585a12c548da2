// Package postgres keeps outbox, inbox and relay state in a PostgreSQL database,
// version 13 or later.
//
// [Open] connects by URL; [New] takes a pgx pool that the program has already. The
// tables lie in the schema that the connection's search_path names first; the page
// docs/formats/tables.md describes them, and what a role needs to be granted.
// [DB.Outbox] and [DB.Inbox] work with pgx transactions, [DB.OutboxSQL] and
// [DB.InboxSQL] with those of database/sql; both may be used side by side.
//
// # What is guaranteed
//
// Inbox transactions are READ COMMITTED: they see what was committed while they
// waited for a lock. What a relay commits, the numbers that it gives above all, is on
// disk before it publishes, also where synchronous_commit is off for everybody else.
//
// Rows of one key are published in the order of their positions, which are handed out
// by the append, not by the commit. Two transactions that write the same key
// are published in the order of their commits if they lock something in common,
// such as the aggregate's row, before they append: change first, then append.
//
// # How a relay waits
//
// Rows wake a sleeping relay through LISTEN and NOTIFY. Committing a
// notification takes a lock that all notifying transactions of the server share,
// which would make busy appenders queue up for it; so only a relay that sleeps is
// notified. The migration that makes the trigger tells how. A relay needs
// two connections of its own for that, which it opens outside the pool, with
// sessions: where PgBouncer pools transactions, give the relay the database's own address.
//
// # Copies and backups
//
// A relay opens a new epoch when the database is another one than before: another
// system identifier or timeline (a restored backup, a promoted standby), another
// database or table. A copy of the data directory that is started in the
// place of the original cannot be told from it.
//
// # Tests
//
// Run against a real server with a schema for each test: give the URL a search_path.
// The package passes the suite in store/storetest.
package postgres
