package metrics

import (
	"testing"

	"tidings.example/relay"
)

// TestSeveralRelaysInOneProcess: as the sample has them.
func TestSeveralRelaysInOneProcess(t *testing.T) {
	t.Parallel()
	m := New()
	for _, source := range []string{"orders", "customers"} {
		m.WatchRelay(source, func() relay.Stats { return relay.Stats{Epoch: "of " + source} })
	}
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "tidings_relay_epoch_info" && len(f.GetMetric()) != 2 {
			t.Errorf("%d epochs are shown", len(f.GetMetric()))
		}
	}
}
