// Package binlog reads the outbox from the binary log of MySQL 8 or MariaDB 10.6
// and later, as a replica does. Rows come in the order of their commits, and
// reading them costs the tables nothing.
//
// The server must write its log in rows (log_bin, binlog_format = ROW), and the
// user needs REPLICATION SLAVE and, to see how far the log goes, REPLICATION
// CLIENT (MariaDB: REPLICATION SLAVE, BINLOG MONITOR). [Doctor] looks at all of it. docs/formats/log-mysql.md says
// what a position is, and docs/decisions/go-mysql.md why the client is the one it is.
//
// A crash window that remains: rows of a transaction with more than 1 MiB of
// messages are handed over before its end is read. If the server itself died
// while it wrote that transaction to its log, and the machine lost the rest,
// messages of a transaction that was rolled back were published.
package binlog
