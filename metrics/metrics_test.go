package metrics

import (
	"io"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"tidings.example/inbox"
	"tidings.example/relay"
)

func TestHandlerShowsWhatWasObserved(t *testing.T) {
	t.Parallel()
	m := New()
	m.RelayObserver().Batch(relay.Batch{Source: "shop", Rows: 3, Bytes: 900, Oldest: time.Now()})
	m.WatchRelay("shop", func() relay.Stats {
		return relay.Stats{Role: relay.Leading, Published: 3, InFlight: 2, Epoch: "e1", Fence: 7,
			Reading: relay.FromLog, Behind: 1500 * time.Millisecond, Checkpoints: 9, Lag: relay.Lag{Bytes: 10, Retained: 20, Limit: 30}, Lost: "dropped"}
	})
	observer := m.InboxObserver()
	observer.Done(inbox.Done{Subscriber: "customers", Source: "shop", Channel: "orders", Outcome: inbox.Handled, Missing: 4})
	observer.Failed(inbox.Failed{Subscriber: "customers", Channel: "orders", Transient: true})
	m.WatchInbox("customers", func() inbox.Stats { return inbox.Stats{Gaps: 1, HeldKeys: 5} })

	server := httptest.NewServer(m.Handler())
	defer server.Close()
	response, err := server.Client().Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		`tidings_relay_published_messages_total{source="shop"} 3`,
		`tidings_relay_leading{source="shop"} 1`,
		`tidings_relay_standing_by{source="shop"} 0`,
		`tidings_relay_fence{source="shop"} 7`,
		`tidings_relay_epoch_info{epoch="e1",source="shop"} 1`,
		`tidings_relay_reading_log{source="shop"} 1`,
		`tidings_relay_behind_seconds{source="shop"} 1.5`,
		`tidings_relay_checkpoints_total{source="shop"} 9`,
		`tidings_relay_log_behind_bytes{source="shop"} 10`,
		`tidings_relay_log_retained_bytes{source="shop"} 20`,
		`tidings_relay_log_limit_bytes{source="shop"} 30`,
		`tidings_relay_log_lost{source="shop"} 1`,
		`tidings_relay_in_flight_messages{source="shop"} 2`,
		`tidings_relay_batch_messages_sum{source="shop"} 3`,
		`tidings_relay_published_payload_bytes_total{source="shop"} 900`,
		`tidings_inbox_messages_total{channel="orders",outcome="handled",subscriber="customers"} 1`,
		`tidings_inbox_missing_messages_total{channel="orders",source="shop",subscriber="customers"} 4`,
		`tidings_inbox_failed_attempts_total{channel="orders",kind="transient",subscriber="customers"} 1`,
		`tidings_inbox_gaps_total{subscriber="customers"} 1`,
		`tidings_inbox_held_keys{subscriber="customers"} 5`,
		"go_goroutines",
	} {
		if !strings.Contains(string(body), line) {
			t.Errorf("missing: %s", line)
		}
	}
}
