package binlog

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
	"time"
)

// floors finds positions of the table below which no row can come any more.
//
// A position is handed out within a statement, before its transaction has begun
// in the engine. So it is held by a statement that is running, or by a
// transaction. Whatever ran when a position had been seen in the log is waited for:
// first the statements, then the transactions that were open after those. What
// was committed by them is in the log before the place where it ends then.
type floors struct {
	mu    sync.Mutex
	floor int64
	file  string
	place int64
}

// at returns the floor, once the log was read up to the place that it belongs to.
func (f *floors) at(p *place) int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.floor > 0 && (later(p.file, f.file) || p.file == f.file && p.at >= f.place) {
		return f.floor
	}
	return 0
}

const (
	floorPause = time.Second
	// The engine's list of transactions is up to 100 ms old.
	listAge = 200 * time.Millisecond
)

// findFloors looks for a new floor about every second while rows come. It ends
// for good where the user may not see the transactions of others.
func (l *Log) findFloors(life context.Context) {
	last := int64(0)
	for pause(life, floorPause) {
		high := l.highest.Load()
		if high == last {
			continue
		}
		found, err := l.findFloor(life, high)
		if code(err) == codeNoPrivilege {
			return
		}
		if err == nil && found {
			last = high
		}
	}
}

// pause returns false when the context is done.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

const transactionsSQL = `SELECT CONCAT(trx_mysql_thread_id, ' ', trx_started, ' ', IF(trx_mysql_thread_id = 0, trx_id, '')) FROM information_schema.innodb_trx`

func (l *Log) findFloor(ctx context.Context, high int64) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	conn, err := l.source.access.Pool().Conn(ctx)
	if err != nil {
		return false, err
	}
	defer conn.Close()
	if _, err := list(ctx, conn, transactionsSQL); err != nil {
		return false, err
	}
	running, err := l.source.running(ctx, conn)
	if err == nil {
		err = gone(ctx, running, func() (map[string]bool, error) { return l.source.running(ctx, conn) })
	}
	if err != nil {
		return false, err
	}
	if !pause(ctx, listAge) {
		return false, ctx.Err()
	}
	open, err := list(ctx, conn, transactionsSQL)
	if err == nil {
		err = gone(ctx, open, func() (map[string]bool, error) { return list(ctx, conn, transactionsSQL) })
	}
	if err != nil {
		return false, err
	}
	file, at, _, err := l.source.end(ctx, conn)
	if err != nil {
		return false, err
	}
	l.floors.mu.Lock()
	defer l.floors.mu.Unlock()
	l.floors.floor, l.floors.file, l.floors.place = high, file, at
	return true, nil
}

// gone waits until none of those that were listed is listed any more.
func gone(ctx context.Context, those map[string]bool, look func() (map[string]bool, error)) error {
	for wait := 20 * time.Millisecond; len(those) > 0; wait = min(2*wait, time.Second) {
		if !pause(ctx, wait) {
			return ctx.Err()
		}
		now, err := look()
		if err != nil {
			return err
		}
		for name := range those {
			if !now[name] {
				delete(those, name)
			}
		}
	}
	return nil
}

func list(ctx context.Context, conn *sql.Conn, query string) (map[string]bool, error) {
	rows, err := conn.QueryContext(ctx, query)
	if err != nil {
		return nil, fmt.Errorf("look for open transactions: %w", err)
	}
	defer rows.Close()
	all := map[string]bool{}
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		all[name] = true
	}
	return all, rows.Err()
}
