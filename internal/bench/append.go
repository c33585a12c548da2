package bench

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"tidings.example/internal/connect"
)

// Append measures what an append costs the transaction that it joins: the same
// transaction, one insert into a table of the user's, without and with it. The
// two alternate in short blocks, so that a drift of the machine meets both.
func Append(ctx context.Context, o Options) (r *Report, err error) {
	db, err := o.open(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := makeTable(ctx, db); err != nil {
		return nil, err
	}
	defer func() {
		ctx := context.WithoutCancel(ctx)
		err = errors.Join(err, dropTable(ctx, db), empty(ctx, db))
		if o.Append != "" && o.Append != "table" {
			err = errors.Join(err, forget(ctx, db))
		}
	}()
	if o.Append != "" && o.Append != "table" {
		if err := readLog(ctx, db); err != nil {
			return nil, err
		}
	}

	r = newReport("append", db.Kind, "", "%d transactions of each kind, %d bytes of payload, appended to: %s", o.Rows, o.Payload, cmp.Or(o.Append, "table"))
	for _, workers := range []int{1, o.Workers} {
		if workers == 1 && len(r.Figures) > 0 {
			break
		}
		bare, with, err := o.alternate(ctx, db, workers)
		if err != nil {
			return nil, err
		}
		floor := fmt.Sprintf("bare transaction, %d at a time", workers)
		r.add(floor, perSecond(o.Rows, bare), "tx/s")
		r.against(fmt.Sprintf("with an append, %d at a time", workers), perSecond(o.Rows, with), "tx/s", floor)
		r.add(fmt.Sprintf("time added, %d at a time", workers), 100*(with.Seconds()/bare.Seconds()-1), "%")
	}
	return r, nil
}

const blocks = 20

func (o *Options) alternate(ctx context.Context, db *connect.Database, workers int) (bare, with time.Duration, err error) {
	o.progress("%d transactions of each kind, %d at a time", o.Rows, workers)
	channel := channelName("append")
	for block := range 2*blocks + 2 {
		started := time.Now()
		appends := block%2 == 1
		err := o.transactions(ctx, o.Rows/blocks, workers, func(i int) error {
			return inTx(ctx, db.SQL, func(tx *sql.Tx) error {
				if err := insertOne(ctx, db, tx, i); err != nil || !appends {
					return err
				}
				return db.Outbox.Append(ctx, tx, o.message(channel, i))
			})
		})
		if err != nil {
			return 0, 0, err
		}
		switch took := time.Since(started); {
		case block < 2: // warm-up
		case appends:
			with += took
		default:
			bare += took
		}
	}
	return bare, with, nil
}

// transactions calls do n times, from several goroutines.
func (o *Options) transactions(ctx context.Context, n, workers int, do func(i int) error) error {
	var next atomic.Int64
	var wait sync.WaitGroup
	failures := make([]error, workers)
	for w := range workers {
		wait.Go(func() {
			for i := int(next.Add(1)); i <= n && ctx.Err() == nil; i = int(next.Add(1)) {
				if failures[w] = do(i); failures[w] != nil {
					return
				}
			}
		})
	}
	wait.Wait()
	return errors.Join(append(failures, ctx.Err())...)
}

const tableName = "tidings_bench_rows"

func makeTable(ctx context.Context, db *connect.Database) error {
	id := map[string]string{
		"postgres": "bigint generated always as identity primary key",
		"mysql":    "bigint auto_increment primary key",
		"sqlite":   "integer primary key autoincrement",
	}[db.Kind]
	if err := dropTable(ctx, db); err != nil {
		return err
	}
	_, err := db.SQL.ExecContext(ctx, "CREATE TABLE "+tableName+" (id "+id+", amount bigint not null, note varchar(200) not null)")
	return err
}

func dropTable(ctx context.Context, db *connect.Database) error {
	_, err := db.SQL.ExecContext(ctx, "DROP TABLE IF EXISTS "+tableName)
	return err
}

// empty removes the rows that no relay has fetched.
func empty(ctx context.Context, db *connect.Database) error {
	_, err := db.SQL.ExecContext(ctx, "DELETE FROM tidings_outbox")
	return err
}

func insertOne(ctx context.Context, db *connect.Database, tx *sql.Tx, i int) error {
	statement := "INSERT INTO " + tableName + " (amount, note) VALUES (?, ?)"
	if db.Kind == "postgres" {
		statement = "INSERT INTO " + tableName + " (amount, note) VALUES ($1, $2)"
	}
	_, err := tx.ExecContext(ctx, statement, i, "an order of some customer, with a line of text as rows have it")
	return err
}
