package wal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5"

	"tidings.example/relay"
	"tidings.example/store/postgres"
)

// slotSQL takes all columns, as each version of the server has more of them.
const slotSQL = `SELECT to_jsonb(s) FROM pg_replication_slots s WHERE slot_name = $1`

// A slot is what the server keeps for a reader of its log.
type slot struct {
	Name         string  `json:"slot_name"`
	Plugin       string  `json:"plugin"`
	Type         string  `json:"slot_type"`
	Database     string  `json:"database"`
	ActivePID    *int32  `json:"active_pid"`
	Restart      *string `json:"restart_lsn"`
	Confirmed    *string `json:"confirmed_flush_lsn"`
	Status       *string `json:"wal_status"`
	SafeSize     *int64  `json:"safe_wal_size"`
	Conflicting  *bool   `json:"conflicting"`         // since version 16
	Invalidation *string `json:"invalidation_reason"` // since version 17
}

// readSlot returns nil where there is none of this name.
func readSlot(ctx context.Context, db *postgres.DB, name string) (*slot, error) {
	var text []byte
	err := db.Pool().QueryRow(ctx, slotSQL, name).Scan(&text)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("look for replication slot %s: %w", name, err)
	}
	var s slot
	if err := json.Unmarshal(text, &s); err != nil {
		return nil, fmt.Errorf("read replication slot %s: %w", name, err)
	}
	return &s, nil
}

// invalid says why the server does not send its log from the slot any more.
func (s *slot) invalid() string {
	switch {
	case s == nil:
		return "its replication slot does not exist any more (dropped, or this server was promoted or restored without it)"
	case s.Plugin != "pgoutput" || s.Type != "logical":
		return fmt.Sprintf("replication slot %s is a %s one of plugin %q, not ours", s.Name, s.Type, s.Plugin)
	case s.Invalidation != nil:
		return fmt.Sprintf("replication slot %s was invalidated: %s", s.Name, *s.Invalidation)
	case s.Conflicting != nil && *s.Conflicting:
		return fmt.Sprintf("replication slot %s was invalidated, since it conflicted with the recovery of a standby", s.Name)
	case s.Status != nil && *s.Status == "lost" || s.Confirmed == nil || s.Restart == nil:
		return fmt.Sprintf("replication slot %s was invalidated: the relay was behind by more than max_slot_wal_keep_size", s.Name)
	}
	return ""
}

// lost says why the log behind a position cannot be read; empty if it can.
func (s *slot) lost(at position) (string, error) {
	if why := s.invalid(); why != "" {
		return why, nil
	}
	confirmed, err := pglogrepl.ParseLSN(*s.Confirmed)
	if err != nil {
		return "", fmt.Errorf("read replication slot %s: %w", s.Name, err)
	}
	if confirmed > at.lsn {
		return fmt.Sprintf("replication slot %s begins at %s, behind the saved position: somebody else has read from it, or the database was restored", s.Name, confirmed), nil
	}
	return "", nil
}

// endPatience bounds how long it is looked what becomes of a slot whose reading has ended.
const endPatience = 2 * time.Second

// explainEnd adds to the error that has ended the reading that nobody can read on,
// where the slot is gone or given up. The server ends the reading first and the slot
// then, so it is looked until nobody has the slot. Whoever drops it later than that
// is noticed when the log is opened again.
func (s *Source) explainEnd(ctx context.Context, name string, err error) error {
	ctx, cancel := context.WithTimeout(ctx, endPatience)
	defer cancel()
	for {
		found, e := readSlot(ctx, s.db, name)
		if e != nil {
			return err // the server is away, or there is no time
		}
		if why := found.invalid(); why != "" {
			return fmt.Errorf("%w: %s: %w", relay.ErrLogLost, why, err)
		}
		if found.ActivePID == nil && (found.Status == nil || *found.Status != "unreserved") {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(poll):
		}
	}
}

// terminateSQL ends the reader of a slot, if the lease is the caller's.
const terminateSQL = `SELECT count(pg_terminate_backend(active_pid)) FROM pg_replication_slots
	WHERE slot_name = $1 AND active_pid IS NOT NULL AND (SELECT fence FROM tidings_relay WHERE source = $2) = $3`

// poll is how often it is looked whether a slot has become free.
const poll = 20 * time.Millisecond

// free waits until nobody reads from the slot, and ends whoever does so without the
// lease. It returns the slot as it is then.
func (s *Source) free(ctx context.Context, name string, fence int64) (*slot, error) {
	for {
		found, err := readSlot(ctx, s.db, name)
		if err != nil || found == nil || found.ActivePID == nil {
			return found, err
		}
		if err := s.holds(ctx, fence); err != nil {
			return nil, err
		}
		_, err = s.db.Pool().Exec(ctx, terminateSQL, name, s.Name(), fence)
		if codeOf(err) == "42501" {
			return nil, fmt.Errorf("end the relay that still reads from replication slot %s (process %d of the server): %w; "+
				"all relays of an outbox must be the same role, or members of pg_signal_backend", name, *found.ActivePID, err)
		}
		if err != nil {
			return nil, fmt.Errorf("end the relay that still reads from replication slot %s: %w", name, err)
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("replication slot %s is still read by process %d of the server: %w", name, *found.ActivePID, ctx.Err())
		case <-time.After(poll):
		}
	}
}

// holds returns a *relay.HeldError if the lease has gone to somebody else.
func (s *Source) holds(ctx context.Context, fence int64) error {
	h, err := s.db.Holder(ctx, s.Name())
	if err == nil && h.Fence != fence {
		err = &relay.HeldError{Source: s.Name(), Holder: h.Name}
	}
	return err
}

// drop drops the slot, for the holder of the lease. It is no error if there is none.
func (s *Source) drop(ctx context.Context, name string, fence int64) error {
	for {
		found, err := s.free(ctx, name, fence)
		if err != nil || found == nil {
			return err
		}
		if err := s.holds(ctx, fence); err != nil {
			return err
		}
		_, err = s.db.Pool().Exec(ctx, "SELECT pg_drop_replication_slot($1)", name)
		switch codeOf(err) {
		case "42704": // it is gone
			return nil
		case "55006": // in use again
			continue
		}
		if err != nil {
			return fmt.Errorf("drop replication slot %s: %w", name, err)
		}
		return nil
	}
}
