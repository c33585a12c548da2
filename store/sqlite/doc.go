// Package sqlite keeps outbox, inbox and relay state in a SQLite database: a
// file of the service's own, with nothing to install. It needs no C compiler.
//
// # What is guaranteed
//
// The database is in WAL mode with synchronous=NORMAL. A kill -9 of the process
// loses nothing that was committed. After a power failure or a crash of the
// operating system the last transactions before it may be missing, though never
// a part of one; Config.Synchronous = "full" closes that at the price of a disk
// sync for each transaction. What a relay has published is never missing: it
// syncs the rows, and the numbers it gives them, before it publishes them.
//
// Several processes may open one file on one machine; network file systems do
// not have the locks that SQLite needs.
//
// # Transactions
//
// SQLite has one writer at a time. Where two want to write, SQLite lets one of
// them sleep and ask again, which is slow and unfair; so the transactions of
// one process that were opened through a [DB] queue up and are woken in
// order. [DB.SQL] is an ordinary *sql.DB for the user's own transactions. Each
// begins as a write transaction (BEGIN IMMEDIATE), which makes it impossible
// that one fails in the middle because another wrote first; give BeginTx
// sql.TxOptions{ReadOnly: true} for one that only reads and waits for nobody.
// A goroutine that begins a second write transaction while it has one open
// waits for itself, until the busy timeout.
//
// Rows of one outbox are published in the order in which they were committed:
// the one writer at a time takes positions in that order.
//
// # Copies and backups
//
// A relay opens a new epoch when the file is another one than before (another
// inode): that is how a restored backup or a copy is noticed. A backup that is
// written over the existing file cannot be told from it: restore beside it
// and rename.
//
// # Tests
//
// Open a file under t.TempDir(); there is nothing to fake. The package passes
// the suite in store/storetest.
package sqlite
