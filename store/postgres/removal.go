package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"tidings.example/relay"
)

const (
	// largePartition is the size from which on a partition is truncated though
	// new rows go to it: after a long backlog it holds more than its slab.
	largePartition = 64 << 20

	// partitionsSQL finds partitions that have something to remove, with their
	// sizes: of an empty one the index has a page, and the table none.
	partitionsSQL = `SELECT p.relname, pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(p.relname), pg_total_relation_size(p.oid)
	FROM pg_inherits i JOIN pg_class p ON p.oid = i.inhrelid JOIN pg_namespace n ON n.oid = p.relnamespace
	WHERE i.inhparent = to_regclass($1) AND pg_relation_size(p.oid) > 0 ORDER BY p.relname`

	// currentSQL is the number of the partition that the last position lies in.
	currentSQL = `SELECT COALESCE(pg_sequence_last_value(to_regclass($1)) >> 16 & 3, 0)`

	// unpublishedSQL tells whether a partition has a row outside the set.
	unpublishedSQL = `SELECT EXISTS (SELECT 1 FROM unnest($1::bigint[], $2::bigint[]) AS r (first, last),
		LATERAL (SELECT 1 FROM %s WHERE position BETWEEN r.first AND r.last LIMIT 1) AS o)`

	savedPublishedSQL = `SELECT COALESCE(published, '') FROM tidings_relay_log WHERE reading = 'log'`

	// Whatever a truncation waits for (its index, its TOAST table), appenders
	// wait for as well.
	removalSettingsSQL = `SELECT set_config('lock_timeout', '20ms', true), set_config('enable_seqscan', 'off', true)`
)

// RemovePublished removes rows that were published from the table, as far as that
// is cheap: whole partitions of it, all of whose rows are in the set. It is for
// a relay that reads the log and has saved the set with its checkpoint, and may be
// called once a second or so. What the database has saved decides: where
// that is not a set of the log any more, nothing is removed. Rows of the partition
// that new rows go to stay for a while.
//
// No appender waits for it: where somebody uses a partition, it is left for the
// next call. It is an error where the role may not TRUNCATE the partitions.
func (db *DB) RemovePublished(ctx context.Context, set relay.PositionSet) error {
	for _, of := range []struct{ table, sequence string }{
		{"tidings_outbox", "tidings_outbox_positions"}, {"tidings_outbox_log", "tidings_outbox_log_positions"},
	} {
		if err := db.removeFrom(ctx, of.table, of.sequence, &set); err != nil {
			return fmt.Errorf("remove published rows of %s: %w", of.table, db.advise(ctx, err))
		}
	}
	return nil
}

type partition struct {
	name, quoted string
	size         int64
}

func (db *DB) removeFrom(ctx context.Context, table, sequence string, set *relay.PositionSet) error {
	found, err := db.partitions(ctx, table)
	if err != nil || len(found) == 0 {
		return err
	}
	var current int64
	if err := db.pool.QueryRow(ctx, currentSQL, sequence).Scan(&current); err != nil {
		return err
	}
	if table != "tidings_outbox" {
		set = nil // whoever has inserted a row there has deleted it
	}
	for _, p := range found {
		if p.name == fmt.Sprintf("%s_%d", table, current) && p.size < largePartition {
			continue
		}
		if err := db.truncate(ctx, p, set); err != nil && codeOf(err) != "55P03" {
			return err
		}
	}
	return nil
}

func (db *DB) partitions(ctx context.Context, table string) ([]partition, error) {
	rows, err := db.pool.Query(ctx, partitionsSQL, table)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (p partition, err error) {
		err = row.Scan(&p.name, &p.quoted, &p.size)
		return p, err
	})
}

// errUnpublished rolls a truncation back.
var errUnpublished = errors.New("some of its rows are not published")

// truncate removes all rows of a partition, if it gets the lock at once: then no
// transaction is open that has written to it, and what is not committed now never
// will be. Whether everything is published is asked under the lock, and once before,
// as most partitions are not. Without a set nothing is asked.
func (db *DB) truncate(ctx context.Context, p partition, set *relay.PositionSet) error {
	err := pgx.BeginTxFunc(ctx, db.pool, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, removalSettingsSQL); err != nil {
			return err
		}
		if set != nil {
			if err := allPublished(ctx, tx, p, set); err != nil {
				return err
			}
		}
		if _, err := tx.Exec(ctx, `LOCK TABLE ONLY `+p.quoted+` IN ACCESS EXCLUSIVE MODE NOWAIT`); err != nil {
			return err
		}
		if set != nil {
			saved, err := savedPublished(ctx, tx)
			if err == nil {
				err = allPublished(ctx, tx, p, saved)
			}
			if err != nil {
				return err
			}
		}
		_, err := tx.Exec(ctx, `TRUNCATE ONLY `+p.quoted)
		return err
	})
	if errors.Is(err, errUnpublished) {
		return nil
	}
	return err
}

// allPublished returns errUnpublished if the partition has a row outside the set.
func allPublished(ctx context.Context, tx pgx.Tx, p partition, set *relay.PositionSet) error {
	first, last := unpublishedRanges(set)
	var some bool
	err := tx.QueryRow(ctx, fmt.Sprintf(unpublishedSQL, p.quoted), first, last).Scan(&some)
	if err == nil && some {
		return errUnpublished
	}
	return err
}

// savedPublished returns what a relay that reads the log has saved.
func savedPublished(ctx context.Context, tx pgx.Tx) (*relay.PositionSet, error) {
	var encoded []byte
	err := tx.QueryRow(ctx, savedPublishedSQL).Scan(&encoded)
	if errors.Is(err, pgx.ErrNoRows) || err == nil && len(encoded) == 0 {
		return nil, errUnpublished
	}
	if err != nil {
		return nil, err
	}
	set, err := relay.DecodePositionSet(encoded)
	return &set, err
}
