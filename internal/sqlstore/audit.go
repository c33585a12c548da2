package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"tidings.example"
	"tidings.example/admin"
	"tidings.example/inbox"
	"tidings.example/relay"
)

// An Auditor is an [admin.Auditor] for any database behind database/sql.
type Auditor struct {
	DB Queryer
	// Mark begins every statement.
	Mark string
	// Micros is the column opened_at in microseconds since 1970.
	Micros string
	// Dollar is set where parameters are written $1, $2 and not ?.
	Dollar bool
}

const (
	auditSourceSQL   = `SELECT source, epoch, lanes FROM tidings_relay`
	auditCountersSQL = `SELECT channel, counters FROM tidings_relay_counters WHERE source = ?`
	auditPlansSQL    = `SELECT id, positions FROM tidings_relay_plan WHERE source = ? ORDER BY id`
	auditEpochsSQL   = `SELECT epoch, lanes, %s, reason FROM tidings_relay_epoch WHERE source = ?`
	auditLanesSQL    = `SELECT epoch, channel, lane, last, holes, gaps, late FROM tidings_inbox_lane WHERE subscriber = ? AND source = ?`

	auditSubscribersSQL = `SELECT DISTINCT subscriber FROM tidings_inbox_lane ORDER BY subscriber`

	// What operators do is seldom: there are few such rows.
	auditDiscardedSQL      = `SELECT target, detail FROM tidings_audit WHERE action = 'discard parked message'`
	auditDiscardedAsideSQL = `SELECT COUNT(*) FROM tidings_audit WHERE action = 'discard set-aside row'`
)

func (a *Auditor) each(ctx context.Context, query string, scan func(*sql.Rows) error, args ...any) error {
	if a.Dollar {
		for i := range args {
			query = strings.Replace(query, "?", fmt.Sprintf("$%d", i+1), 1)
		}
	}
	return each(ctx, a.DB, a.Mark+query, args, scan)
}

// Numbered implements [admin.Auditor]. The epoch is read before and after the
// counters, so that they belong to it.
func (a *Auditor) Numbered(ctx context.Context) (admin.Numbered, error) {
	for {
		n, err := a.numbered(ctx)
		if err != nil {
			return admin.Numbered{}, fmt.Errorf("read what the relay has numbered: %w", err)
		}
		again, err := a.source(ctx)
		if err != nil {
			return admin.Numbered{}, fmt.Errorf("read the relay's epoch: %w", err)
		}
		if again.Epoch == n.Epoch {
			return n, nil
		}
	}
}

func (a *Auditor) source(ctx context.Context) (n admin.Numbered, err error) {
	err = a.each(ctx, auditSourceSQL, func(rows *sql.Rows) error { return rows.Scan(&n.Source, &n.Epoch, &n.Lanes) })
	return n, err
}

func (a *Auditor) numbered(ctx context.Context) (admin.Numbered, error) {
	n, err := a.source(ctx)
	if err != nil {
		return n, err
	}
	// Plans before counters: a plan that is completed meanwhile is in both.
	err = a.each(ctx, auditPlansSQL, func(rows *sql.Rows) error {
		var id int64
		var encoded []byte
		if err := rows.Scan(&id, &encoded); err != nil {
			return err
		}
		positions, err := relay.DecodePositions(encoded)
		n.Planned += int64(len(positions))
		return err
	}, n.Source)
	if err != nil {
		return n, err
	}
	n.Counters = map[string][]uint64{}
	err = a.each(ctx, auditCountersSQL, func(rows *sql.Rows) error {
		var channel string
		var encoded []byte
		if err := rows.Scan(&channel, &encoded); err != nil {
			return err
		}
		counters, err := relay.DecodeCounters(encoded)
		n.Counters[channel] = counters
		return err
	}, n.Source)
	if err != nil {
		return n, err
	}
	err = a.each(ctx, fmt.Sprintf(auditEpochsSQL, a.Micros), func(rows *sql.Rows) error {
		var e admin.EpochRecord
		var micros int64
		err := rows.Scan(&e.Name, &e.Lanes, &micros, &e.Reason)
		e.OpenedAt = time.UnixMicro(micros).UTC()
		n.Epochs = append(n.Epochs, e)
		return err
	}, n.Source)
	slices.SortFunc(n.Epochs, func(x, y admin.EpochRecord) int {
		return cmp.Or(x.OpenedAt.Compare(y.OpenedAt), strings.Compare(x.Name, y.Name))
	})
	if err != nil {
		return n, err
	}
	err = a.each(ctx, auditDiscardedAsideSQL, func(rows *sql.Rows) error { return rows.Scan(&n.Discarded) })
	return n, err
}

// Handled implements [admin.Auditor].
func (a *Auditor) Handled(ctx context.Context, subscriber, source string) (admin.Handled, error) {
	var h admin.Handled
	err := a.each(ctx, auditLanesSQL, func(rows *sql.Rows) error {
		l := admin.HandledLane{Lane: tidings.Lane{Source: source}}
		var encoded []byte
		if err := rows.Scan(&l.Lane.Epoch, &l.Lane.Channel, &l.Lane.N, &l.Last, &encoded, &l.Gaps, &l.Late); err != nil {
			return err
		}
		holes, err := inbox.DecodeHoles(encoded)
		for _, hole := range holes {
			span := admin.Span{First: hole.First, Last: hole.Last}
			if hole.Before {
				l.Before = append(l.Before, span)
			} else {
				l.Holes = append(l.Holes, span)
			}
		}
		h.Lanes = append(h.Lanes, l)
		return err
	}, subscriber, source)
	if err == nil {
		err = a.each(ctx, auditDiscardedSQL, func(rows *sql.Rows) error {
			var target, detail string
			if err := rows.Scan(&target, &detail); err != nil {
				return err
			}
			var w whole
			if !strings.Contains(target, " of "+subscriber+": ") || json.Unmarshal([]byte(detail), &w) != nil || w.Source != source {
				return nil
			}
			h.Discarded = append(h.Discarded, admin.DiscardedMessage{ID: w.ID, Sequence: w.Sequence,
				Lane: tidings.Lane{Source: w.Source, Epoch: w.Epoch, Channel: w.Channel, N: w.Lane}})
			return nil
		})
	}
	if err != nil {
		return admin.Handled{}, fmt.Errorf("read what %q has handled: %w", subscriber, err)
	}
	return h, nil
}

// Subscribers implements [admin.Auditor].
func (a *Auditor) Subscribers(ctx context.Context) (names []string, err error) {
	err = a.each(ctx, auditSubscribersSQL, func(rows *sql.Rows) error {
		var name string
		err := rows.Scan(&name)
		names = append(names, name)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list subscribers: %w", err)
	}
	return names, nil
}
