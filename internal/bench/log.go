package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tidings.example/admin"
	"tidings.example/internal/connect"
	"tidings.example/internal/wait"
	"tidings.example/relay"
)

// settleReading sees that rows are read from where Read says, and returns that.
// A log is read from a position on that a relay has saved: what is appended
// before there is one would be read from the table.
func (o *Options) settleReading(ctx context.Context, db *connect.Database) (relay.Reading, error) {
	if db.Log == nil {
		if o.Read == string(relay.FromLog) {
			return "", db.NeedLog()
		}
		return relay.FromTable, nil
	}
	// A relay that found the position lost keeps it until it has saved another.
	var stale string
	settled := func() (relay.Reading, error) {
		s, err := db.Log.LogStatus(ctx)
		if err == nil && s.Lost != "" {
			stale = s.Position
		}
		reading := relay.Reading(s.Reading)
		switch {
		case err != nil:
			return "", err
		case s.Asked != "" && s.Asked != s.Reading, o.Read != "" && s.Reading != o.Read,
			reading == relay.FromLog && (s.Position == "" || s.Position == stale):
			return "", fmt.Errorf("rows are read from the %s (asked for: %q, at %q)", s.Reading, s.Asked, s.Position)
		}
		return reading, nil
	}
	if reading, err := settled(); err == nil {
		return reading, nil
	}
	o.progress("starting a relay, so that the log has a beginning")
	p, err := startRelay(ctx, *o)
	if err != nil {
		return "", err
	}
	var reading relay.Reading
	waited := wait.For(ctx, time.Minute, askEvery, func() error {
		reading, err = settled()
		return err
	})
	said := p.stderr.String
	if _, err := p.stop(); waited != nil || err != nil {
		return "", errors.Join(waited, err, fmt.Errorf("the relay says: %s", said()))
	}
	return reading, nil
}

// forget lets the database forget the log that it keeps for the relays of a run.
func forget(ctx context.Context, db *connect.Database) error {
	if db.Log == nil {
		return nil
	}
	// The server takes a moment to see that a relay has gone.
	err := wait.For(ctx, 10*time.Second, askEvery, func() error {
		err := db.Log.DropLog(ctx, admin.Action{Actor: "tidings bench", Reason: "the benchmark is over"})
		if errors.Is(err, admin.ErrNotFound) {
			return nil
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("free the log that is kept for the relays of this run: %w", err)
	}
	return nil
}

// readLog makes the log what rows are read from, with no relay, so that messages
// may be appended past the table.
func readLog(ctx context.Context, db *connect.Database) (err error) {
	source, ok := db.Relay(sourceName).(relay.LogSource)
	if !ok {
		return connect.ErrNoLog
	}
	session, st, err := source.Acquire(ctx, "bench-append", time.Minute)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, session.Release(ctx)) }()
	if st.Reading == relay.FromLog {
		return nil
	}
	log, start, err := source.Tail(ctx, session, st)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close(ctx, false)) }()
	return session.Commit(ctx, relay.Change{Reading: relay.FromLog, Log: &relay.Checkpoint{Position: start.Position}})
}

// bareLogReader reads and decodes what was appended since the saved position,
// and throws it away. The position stays where it is.
func (o *Options) bareLogReader(ctx context.Context, db *connect.Database) (rate float64, err error) {
	o.progress("reading the log without publishing")
	source, ok := db.Relay(sourceName).(relay.LogSource)
	if !ok {
		return 0, connect.ErrNoLog
	}
	session, st, err := source.Acquire(ctx, "bench-reader", 5*time.Minute)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, session.Release(ctx)) }()
	log, start, err := source.Tail(ctx, session, st)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, log.Close(ctx, false)) }()
	if start.Fresh {
		return 0, fmt.Errorf("the log does not begin at the saved position: %s", start.Lost)
	}
	limited, cancel := context.WithTimeout(ctx, 4*time.Minute)
	defer cancel()
	// As for the relay, connecting is not measured.
	var began time.Time
	first, n := 0, 0
	for n < o.Rows {
		batch, err := log.Next(limited, 2000, 1<<20)
		if err != nil {
			return 0, fmt.Errorf("after %d of %d rows: %w", n, o.Rows, err)
		}
		n += len(batch.Rows)
		if began.IsZero() && n > 0 {
			began, first = time.Now(), n
		}
	}
	return perSecond(n-first, time.Since(began)), nil
}

// askEvery is how often another process is asked how far it is.
const askEvery = 20 * time.Millisecond
