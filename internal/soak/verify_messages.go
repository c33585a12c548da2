package soak

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"tidings.example/internal/connect"
)

// mostRepeated bounds, for each loss of the position in the log, the messages
// that come again under a new epoch: what the broker took within a checkpoint
// interval, at the highest rate, and what was on its way.
const mostRepeated = 20_000

// ledger is what was committed and what became of it, by worker and number.
type ledger [workers][]entry

type entry struct {
	committed bool
	// epoch is the index of the one that it was handled under first, from 1; 0
	// is not handled.
	epoch uint8
}

// committedBy reads what the load has committed.
func committedBy(ctx context.Context, db *connect.Database, c *Counts) (*ledger, error) {
	rows, err := db.SQL.QueryContext(ctx, `SELECT worker, first_number, last_number FROM soak_committed ORDER BY worker, first_number`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var l ledger
	for rows.Next() {
		var worker int
		var first, last int64
		if err := rows.Scan(&worker, &first, &last); err != nil {
			return nil, err
		}
		for int64(len(l[worker])) <= last {
			l[worker] = append(l[worker], entry{committed: int64(len(l[worker])) >= first})
		}
		c.Committed += uint64(last - first + 1)
	}
	return &l, rows.Err()
}

// handledBy reads the auditor's rows, in the order in which they were written.
func (l *ledger) handledBy(ctx context.Context, db *connect.Database, c *Counts) error {
	rows, err := db.SQL.QueryContext(ctx, `SELECT message_id, epoch FROM soak_effect ORDER BY position`)
	if err != nil {
		return err
	}
	defer rows.Close()
	epochs := map[string]uint8{}
	last := map[[2]int64]int64{} // by worker and key
	for rows.Next() {
		var id, epoch string
		if err := rows.Scan(&id, &epoch); err != nil {
			return err
		}
		worker, number, ok := parseID(id)
		if !ok {
			return fmt.Errorf("the auditor has handled a message with the id %q, which nobody appended", id)
		}
		if epochs[epoch] == 0 {
			epochs[epoch] = uint8(len(epochs) + 1)
		}
		if number >= int64(len(l[worker])) || !l[worker][number].committed {
			c.NotCommitted++
			continue
		}
		e := &l[worker][number]
		switch {
		case e.epoch == 0:
			e.epoch = epochs[epoch]
			c.Handled++
			key := [2]int64{worker, number % keysPerWorker}
			if before, ok := last[key]; ok && number < before {
				c.OutOfOrder++
			}
			last[key] = max(last[key], number)
		case e.epoch != epochs[epoch] && c.Losses > 0:
			c.Repeated++
			e.epoch = epochs[epoch]
		default:
			c.Twice++
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	for _, of := range l {
		for _, e := range of {
			if e.committed && e.epoch == 0 {
				c.Lost++
			}
		}
	}
	return nil
}

// parseID reads the id of a message that the load has made.
func parseID(id string) (worker, number int64, ok bool) {
	w, n, _ := strings.Cut(id, "-")
	worker, badWorker := strconv.ParseInt(w, 10, 64)
	number, badNumber := strconv.ParseInt(n, 10, 64)
	return worker, number, badWorker == nil && badNumber == nil && worker >= 0 && worker < workers && number >= 0
}

// countMessages takes all counts anew; nil means that everything adds up.
func countMessages(ctx context.Context, source, auditor *connect.Database, c *Counts) error {
	*c = Counts{Seed: c.Seed, Strikes: c.Strikes, Losses: c.Losses}
	var committed, handled int64
	err := source.SQL.QueryRowContext(ctx, `SELECT coalesce(sum(last_number - first_number + 1), 0) FROM soak_committed`).Scan(&committed)
	if err != nil {
		return err
	}
	if err := auditor.SQL.QueryRowContext(ctx, `SELECT count(*) FROM soak_effect`).Scan(&handled); err != nil {
		return err
	}
	c.Committed, c.Handled = uint64(committed), uint64(handled)
	if handled < committed {
		c.Lost = uint64(committed - handled)
		return fmt.Errorf("%d messages were committed, %d handled", committed, handled)
	}
	backlog, err := source.Admin.Backlog(ctx)
	if err != nil {
		return err
	}
	if backlog.Rows > 0 || backlog.SetAside > 0 {
		return fmt.Errorf("%d rows are in the outbox, %d are set aside", backlog.Rows, backlog.SetAside)
	}
	*c = Counts{Seed: c.Seed, Strikes: c.Strikes, Losses: c.Losses}
	l, err := committedBy(ctx, source, c)
	if err != nil {
		return err
	}
	if err := l.handledBy(ctx, auditor, c); err != nil {
		return err
	}
	if err := source.SQL.QueryRowContext(ctx, `SELECT count(*) FROM tidings_relay_epoch`).Scan(&c.Epochs); err != nil {
		return err
	}
	numbers := map[lane]uint64{}
	if c.Losses == 0 {
		if _, err := numbered(ctx, source, numbers); err != nil {
			return err
		}
	}
	if err := inboxes(ctx, auditor, numbers, c); err != nil {
		return err
	}
	return c.verdict(1)
}

// verdict is the first thing that does not add up.
func (c *Counts) verdict(sources int) error {
	switch {
	case c.Lost > 0 || c.Handled < c.Committed:
		return fmt.Errorf("%d messages were committed, %d handled, %d lost", c.Committed, c.Handled, c.Lost)
	case c.NotCommitted > 0:
		return fmt.Errorf("%d messages were handled that were never committed", c.NotCommitted)
	case c.Twice > 0:
		return fmt.Errorf("%d messages were handled twice", c.Twice)
	case c.Repeated > uint64(c.Losses)*mostRepeated:
		return fmt.Errorf("%d messages came again after the log was lost %d times", c.Repeated, c.Losses)
	case c.OutOfOrder > 0:
		return fmt.Errorf("%d messages were handled out of order", c.OutOfOrder)
	case c.Parked > 0:
		return fmt.Errorf("%d messages are parked", c.Parked)
	case c.Losses == 0 && c.Epochs != sources:
		return fmt.Errorf("%d epochs for %d sources", c.Epochs, sources)
	}
	return nil
}
