package main

import (
	"strings"
	"testing"

	"tidings.example/relay"
)

// TestLogReadiness: a loss counts until a position was saved again, and a full
// disk is announced before it comes.
func TestLogReadiness(t *testing.T) {
	t.Parallel()
	var s relay.Stats
	ready := &logReadiness{source: "shop", stats: func() relay.Stats { return s }}
	for _, step := range []struct {
		name  string
		stats relay.Stats
		want  string
	}{
		{"from the table", relay.Stats{Reading: relay.FromTable, Lag: relay.Lag{Retained: 90, Limit: 100}}, ""},
		{"from the log", relay.Stats{Reading: relay.FromLog, Checkpoints: 3, Lag: relay.Lag{Retained: 79, Limit: 100}}, ""},
		{"near the limit", relay.Stats{Reading: relay.FromLog, Checkpoints: 3, Lag: relay.Lag{Retained: 80, Limit: 100}}, "stops at 100 bytes"},
		{"no limit", relay.Stats{Reading: relay.FromLog, Checkpoints: 3, Lag: relay.Lag{Retained: 1 << 40}}, ""},
		{"lost", relay.Stats{Reading: relay.FromLog, Checkpoints: 3, Lost: "the slot was dropped"}, "the slot was dropped"},
		{"still lost", relay.Stats{Reading: relay.FromLog, Checkpoints: 3, Lost: "the slot was dropped"}, "the slot was dropped"},
		{"saved again", relay.Stats{Reading: relay.FromLog, Checkpoints: 4, Lost: "the slot was dropped"}, ""},
		{"lost again", relay.Stats{Reading: relay.FromLog, Checkpoints: 4, Lost: "it was dropped once more"}, "once more"},
	} {
		s = step.stats
		err := ready.Ready()
		if step.want == "" && err != nil || step.want != "" && (err == nil || !strings.Contains(err.Error(), step.want)) {
			t.Errorf("%s: %v, want %q", step.name, err, step.want)
		}
	}
}
