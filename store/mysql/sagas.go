package mysql

import (
	"database/sql"
	"fmt"
	"time"

	"tidings.example/command"
	"tidings.example/internal/sqlstore"
	"tidings.example/saga"
	"tidings.example/timer"
)

// dialect is that of MySQL and MariaDB. In READ COMMITTED transactions its
// statements lock the rows that they name, and no gaps between them.
var dialect = &sqlstore.Dialect{
	Mark:   mark,
	Micros: `TIMESTAMPDIFF(MICROSECOND, '1970-01-01', $1)`, At: `CAST(? AS DATETIME(6))`,
	Lock: "FOR UPDATE", Skip: "FOR UPDATE SKIP LOCKED",
	Index:    "FORCE INDEX ($1)",
	Time:     datetime,
	OrIgnore: " ON DUPLICATE KEY UPDATE $1 = $1",
	// How many rows were changed depends on a setting of the connection;
	// the last id does not, and is 0 where there is a new row.
	OrKeep: " ON DUPLICATE KEY UPDATE version = LAST_INSERT_ID(version)",
	Inserted: func(result sql.Result) (bool, error) {
		version, err := result.LastInsertId()
		return version == 0, err
	},
	// Columns are set in this order, so the one that is compared is the last.
	OrTake: ` ON DUPLICATE KEY UPDATE since = IF(saga_type = '', VALUES(since), since),
	saga_id = IF(saga_type = '', VALUES(saga_id), saga_id), saga_type = IF(saga_type = '', VALUES(saga_type), saga_type)`,
	FreeLock:     `UPDATE tidings_command_lock SET saga_type = '', saga_id = '', since = UTC_TIMESTAMP(6)`,
	FreeRows:     true,
	AtStep:       `INSTR(CONCAT(', ', step, ', '), ?) > 0`,
	DeleteTimers: deleteTimers,
}

const (
	timerListSQL = `SELECT %d AS i, CAST(? AS BINARY) AS id`

	// One row after the other, by the primary key; see the statements that lock rows for inboxes.
	deleteTimersSQL = `DELETE t FROM (%s) w STRAIGHT_JOIN tidings_timer t ON t.message_id = w.id`
)

func deleteTimers(n int) string {
	return fmt.Sprintf(deleteTimersSQL, list(timerListSQL, upTo(0, n)))
}

func (db *DB) engine() sqlstore.Engine {
	return sqlstore.Engine{Dialect: dialect, Pool: db.inbox, Run: db.inTx, Passing: transient, Now: time.Now}
}

// Sagas returns the sagas that the database keeps.
func (db *DB) Sagas() saga.Store[*sql.Tx] { return sqlstore.NewSagas(db.engine()) }

// Timers returns the delayed messages of the database.
func (db *DB) Timers() timer.Store[*sql.Tx] { return sqlstore.NewTimers(db.engine()) }

// Commands returns what participants that handle their commands in this database
// remember of them.
func (db *DB) Commands() command.Store[*sql.Tx] { return sqlstore.NewCommands(db.engine()) }

// Replies returns the replies that the database keeps for those who wait for them.
func (db *DB) Replies() command.ReplyStore[*sql.Tx] { return sqlstore.NewReplies(db.engine()) }
