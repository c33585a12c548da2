package relay

import (
	"fmt"
	"time"
)

// tablelessTTL is for how long after a row that was never in the table the relay
// does not go back to the table unless an operator insists.
const tablelessTTL = 24 * time.Hour

// logSource returns the source as one with a log.
func (l *leader) logSource() (LogSource, error) {
	source, ok := l.cfg.Source.(LogSource)
	if !ok {
		return nil, fmt.Errorf("outbox %q is to be read from the database's log, which this source does not offer: "+
			"run a relay that does, or switch back to the table", l.cfg.Source.Name())
	}
	return source, nil
}

// wanted returns where rows are to be read from, if that is another place than
// now or if an operator has asked; otherwise it is empty. Operators come before
// the configuration.
func (l *leader) wanted() Reading {
	if asked := l.lease.wish(); asked != "" {
		if _, ok := l.cfg.Source.(LogSource); ok || asked == FromTable {
			return asked
		}
		if !l.refused {
			l.refused = true
			l.cfg.Logger.Error("relay goes on with the table, though an operator has asked for the log: its source does not offer it",
				"source", l.cfg.Source.Name())
		}
		return ""
	}
	wish := *l.wish
	if wish == "" || wish == l.reading() {
		return ""
	}
	if wish == FromTable && time.Since(l.state.Log.Tableless) < tablelessTTL {
		l.cfg.Logger.Error("relay goes on with the log, though it is configured to read the table: "+
			"rows that were never in the table came less than a day ago", "source", l.cfg.Source.Name())
		*l.wish = ""
		return ""
	}
	return wish
}

// switched ends this leader, after the change was committed.
func (l *leader) switched(to Reading) error {
	l.cfg.Logger.Info("relay reads rows another way now", "source", l.cfg.Source.Name(), "from", l.reading(), "to", to)
	return errSwitched
}
