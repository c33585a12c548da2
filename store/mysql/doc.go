// Package mysql keeps outbox, inbox and relay state in MySQL (8.0.13 or later)
// or MariaDB (10.6 or later).
//
// # What is guaranteed
//
// What is committed is as durable as the server makes it: with
// innodb_flush_log_at_trx_commit = 1, its default, nothing is lost when the
// server is killed or loses power. [Admin.Doctor] looks at this and other
// settings.
//
// # Transactions
//
// [DB.SQL] is an ordinary *sql.DB for the user's own transactions, at the
// server's isolation level. Transactions that an inbox opens for a handler are
// READ COMMITTED: under REPEATABLE READ, MySQL's default, a handler would
// read what was committed before the inbox had the right to go on, and inserts
// of different messages would wait for each other's gap locks. The server's
// binary log must be in ROW or MIXED format for that, as it is by default.
//
// MySQL hands positions out before the commit, so rows are published in the
// order of their positions among those that are visible in one snapshot. Of two
// transactions that append under the same key at the same time, the order is
// that of the appends if they also lock the same row of the user's, as
// transactions on one aggregate do.
//
// # Copies, backups and fail-over
//
// A relay opens a new epoch where the server, the database's name or the
// creation time of its tables differ from before: another server has taken
// over, or the database was restored from a dump or copied. Restoring the files
// of a whole MySQL server in place, with its auto.cnf, cannot be noticed.
//
// # Tests
//
// Tests need a server; scripts/servers starts one. The package passes the
// suite in store/storetest.
package mysql
