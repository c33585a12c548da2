package binlog

import (
	"context"
	"time"

	"tidings.example/internal/sqlstore"
	"tidings.example/relay"
)

// removePause is how long the removal of published rows rests.
const removePause = time.Second

// Confirm remembers the position for Lag, and has the rows that are counted as
// published removed, beside the reading, about once a second.
func (l *Log) Confirm(c relay.Checkpoint) {
	if p, err := parsePosition(c.Position, l.source.access.MariaDB()); err == nil {
		l.saved.Store(&p)
	}
	for {
		select {
		case l.confirmed <- c:
			return
		default:
		}
		select {
		case <-l.confirmed: // an older one
		default:
		}
	}
}

// remove removes published rows. What fails now is done with a later checkpoint.
func (l *Log) remove(life context.Context) {
	failures := sqlstore.RemovalFailures(l.source.options.Logger, l.source.Name())
	for {
		var c relay.Checkpoint
		select {
		case c = <-l.confirmed:
		case <-life.Done():
			return
		}
		if len(c.Published) > 0 {
			set, err := relay.DecodePositionSet(c.Published)
			if err == nil {
				err = l.source.db.RemovePublished(life, set)
			}
			if life.Err() == nil {
				failures.Note(err)
			}
		}
		timer := time.NewTimer(removePause)
		select {
		case <-timer.C:
		case <-life.Done():
			timer.Stop()
			return
		}
	}
}
