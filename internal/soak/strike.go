package soak

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"tidings.example/admin"
	"tidings.example/internal/connect"
	"tidings.example/internal/wait"
)

// The kinds of strikes beside the kill of a process.
const (
	// Pause stops a relay with SIGSTOP for longer than its lease, and lets it go
	// on with SIGCONT.
	Pause = "pause"
	// Sessions ends the database sessions of the relays.
	Sessions = "sessions"
	// Slot drops the replication slot of PostgreSQL under the relays.
	Slot = "slot"
	// Purge kills the relays and purges the binary logs of MySQL before they
	// start again.
	Purge = "purge"
)

// leaseTTL is the relays': a pause must be longer.
const leaseTTL = 3 * time.Second

// paused is a relay that a strike stops and lets go on.
type paused struct{ *child }

func (p paused) kill(context.Context) error  { return p.deliver(syscall.SIGSTOP) }
func (p paused) start(context.Context) error { return p.deliver(syscall.SIGCONT) }
func (p paused) stop(context.Context) error  { return nil }
func (p paused) rest() time.Duration         { return leaseTTL + time.Second }

// deliver sends a signal to a process that stays wanted.
func (c *child) deliver(s os.Signal) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("%s: %w", c.Name, err)
	}
	return nil
}

// sessions are those that the relays have in a database server.
type sessions struct {
	db     *connect.Database
	relays []*child
}

func (s sessions) start(context.Context) error { return nil }
func (s sessions) stop(context.Context) error  { return nil }

// kill ends the sessions, which are told by the client's port: on a server that
// is shared nobody else is hit.
func (s sessions) kill(ctx context.Context) error {
	for _, c := range s.relays {
		ports, err := c.ports()
		if err != nil {
			return err
		}
		for _, port := range ports {
			if err := endSession(ctx, s.db, port); err != nil {
				return fmt.Errorf("end sessions of %s: %w", c.Name, err)
			}
		}
	}
	return nil
}

func endSession(ctx context.Context, db *connect.Database, port int) error {
	if db.Kind == "postgres" {
		_, err := db.SQL.ExecContext(ctx, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE client_port = $1 AND pid <> pg_backend_pid()`, port)
		return err
	}
	var id int64
	err := db.SQL.QueryRowContext(ctx, fmt.Sprintf(`SELECT id FROM information_schema.processlist WHERE host LIKE '%%:%d'`, port)).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return nil // a connection to somebody else
	}
	if err == nil {
		_, err = db.SQL.ExecContext(ctx, fmt.Sprintf("KILL %d", id))
	}
	if err != nil && strings.Contains(err.Error(), "Unknown thread id") {
		return nil // it has ended meanwhile
	}
	return err
}

// ports are those of the process's own ends of its TCP connections, as Linux
// tells them.
func (c *child) ports() ([]int, error) {
	c.mu.Lock()
	pid := c.cmd.Process.Pid
	c.mu.Unlock()
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil // it has ended
	}
	if err != nil {
		return nil, fmt.Errorf("list connections of %s: %w", c.Name, err)
	}
	sockets := map[string]bool{}
	for _, fd := range open {
		target, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", pid, fd.Name()))
		if inode, ok := strings.CutPrefix(target, "socket:["); ok {
			sockets[strings.TrimSuffix(inode, "]")] = true
		}
	}
	var ports []int
	for _, file := range []string{"tcp", "tcp6"} {
		f, err := os.Open(fmt.Sprintf("/proc/%d/net/%s", pid, file))
		if err != nil {
			continue
		}
		for lines := bufio.NewScanner(f); lines.Scan(); {
			fields := strings.Fields(lines.Text())
			if len(fields) < 10 || !sockets[fields[9]] {
				continue
			}
			var port int
			_, hex, _ := strings.Cut(fields[1], ":")
			if _, err := fmt.Sscanf(hex, "%X", &port); err == nil {
				ports = append(ports, port)
			}
		}
		_ = f.Close() // it was only read
	}
	return ports, nil
}

// slot is the replication slot of a PostgreSQL database.
type slot struct{ db *connect.Database }

func (s slot) start(context.Context) error { return nil }
func (s slot) stop(context.Context) error  { return nil }
func (s slot) loses()                      {}

// kill ends whoever uses the slot, and drops it before somebody else does.
func (s slot) kill(ctx context.Context) error {
	status, err := s.db.Log.LogStatus(ctx)
	if err != nil || status.Name == "" {
		return err
	}
	return wait.For(ctx, 10*time.Second, askEvery, func() error {
		_, err := s.db.SQL.ExecContext(ctx, `SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = $1 AND active_pid IS NOT NULL`, status.Name)
		if err != nil {
			return err
		}
		_, err = s.db.SQL.ExecContext(ctx, `SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1`, status.Name)
		return err
	})
}

// binlogs are the binary logs of a MySQL or MariaDB server. One that somebody
// reads is not purged, so the relays are killed first.
type binlogs struct {
	db     *connect.Database
	relays []*child
}

func (b binlogs) stop(context.Context) error { return nil }
func (b binlogs) loses()                     {}

func (b binlogs) kill(ctx context.Context) error {
	for _, c := range b.relays {
		if err := c.kill(ctx); err != nil {
			return err
		}
	}
	return wait.For(ctx, 10*time.Second, askEvery, func() error {
		if _, err := b.db.SQL.ExecContext(ctx, "FLUSH BINARY LOGS"); err != nil {
			return err
		}
		_, last, err := b.files(ctx)
		if err != nil {
			return err
		}
		if _, err := b.db.SQL.ExecContext(ctx, "PURGE BINARY LOGS TO '"+last+"'"); err != nil {
			return err
		}
		// The server keeps what it believes to be read still, and says nothing.
		first, last, err := b.files(ctx)
		if err == nil && first != last {
			err = fmt.Errorf("the binary logs from %s to %s are still there: somebody reads them", first, last)
		}
		return err
	})
}

// files are the names of the first and the last binary log.
func (b binlogs) files(ctx context.Context) (first, last string, err error) {
	rows, err := b.db.SQL.QueryContext(ctx, "SHOW BINARY LOGS")
	if err != nil {
		return "", "", err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return "", "", err
	}
	values := make([]any, len(columns))
	for i := range values {
		values[i] = new(sql.RawBytes)
	}
	values[0] = &last
	for rows.Next() {
		if err := rows.Scan(values...); err != nil {
			return "", "", err
		}
		if first == "" {
			first = last
		}
	}
	return first, last, rows.Err()
}

func (b binlogs) start(ctx context.Context) error {
	for _, c := range b.relays {
		if err := c.start(ctx); err != nil {
			return err
		}
	}
	return nil
}

// forget frees what a database keeps for the relays of a run, which are over.
func forget(ctx context.Context, db *connect.Database) error {
	if db.Log == nil {
		return nil
	}
	err := wait.For(ctx, 10*time.Second, askEvery, func() error {
		err := db.Log.DropLog(ctx, admin.Action{Actor: "tidings soak", Reason: "the run is over"})
		if errors.Is(err, admin.ErrNotFound) {
			return nil
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("free the log that is kept for the relays: %w", err)
	}
	return nil
}
