package metrics

import "tidings.example/relay"

type relayWatcher struct{ watcher[relay.Stats] }

// log shows how the database's commit log is read; all of it is 0 while rows are
// read from the table.
func (w relayWatcher) log() {
	w.gauge("tidings_relay_reading_log", "1 if rows are read from the database's log, 0 if from the table.",
		func(s relay.Stats) float64 { return oneIf(s.Reading == relay.FromLog) })
	w.counter("tidings_relay_checkpoints_total", "Positions in the log that were saved.",
		func(s relay.Stats) float64 { return float64(s.Checkpoints) })
	w.gauge("tidings_relay_log_behind_bytes", "Bytes of log between the saved position and the end.",
		func(s relay.Stats) float64 { return float64(s.Lag.Bytes) })
	w.gauge("tidings_relay_log_retained_bytes", "Bytes of log that the database keeps on its disk for this relay.",
		func(s relay.Stats) float64 { return float64(s.Lag.Retained) })
	w.gauge("tidings_relay_log_limit_bytes", "Bytes of log at which the database stops keeping it; 0 is never.",
		func(s relay.Stats) float64 { return float64(s.Lag.Limit) })
	w.gauge("tidings_relay_log_lost", "1 if this relay has found its position in the log lost since it started.",
		func(s relay.Stats) float64 { return oneIf(s.Lost != "") })
}
