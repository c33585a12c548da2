package sqlite

import (
	"context"
	"database/sql"

	"tidings.example/command"
	"tidings.example/internal/sqlstore"
	"tidings.example/saga"
	"tidings.example/timer"
)

// dialect is SQLite's. Its write transactions exclude each other, so what they
// read is locked.
var dialect = &sqlstore.Dialect{
	Mark:   mark,
	Micros: "$1", At: "?",
	Index:    "INDEXED BY $1",
	Time:     microsOrNull,
	OrIgnore: " ON CONFLICT DO NOTHING",
	OrKeep:   " ON CONFLICT DO NOTHING",
	Inserted: func(result sql.Result) (bool, error) {
		n, err := result.RowsAffected()
		return n > 0, err
	},
	OrTake:   " ON CONFLICT DO NOTHING",
	FreeLock: "DELETE FROM tidings_command_lock",
	AtStep:   `instr(', ' || step || ', ', ?) > 0`,
	DeleteTimers: func(n int) string {
		return `DELETE FROM tidings_timer WHERE message_id IN (` + sqlstore.Placeholders(n) + `)`
	},
}

func (db *DB) engine() sqlstore.Engine {
	e := sqlstore.Engine{Dialect: dialect, Pool: db.sql, Run: db.inTx, Passing: transient, Now: db.now}
	if !db.queued {
		e.Begin = func(ctx context.Context, tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, lockSQL)
			return err
		}
	}
	return e
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
