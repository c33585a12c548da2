package natsjs

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"tidings.example/broker"
)

func TestReadRetained(t *testing.T) {
	t.Parallel()
	b := openBroker(t, Config{Server: startServer(t, EmbeddedConfig{}).server})
	ctx := t.Context()
	if err := b.EnsureChannels(ctx, "orders"); err != nil {
		t.Fatal(err)
	}
	read := func(r broker.TimeRange) (x broker.Extent, ids []string, stored []time.Time) {
		t.Helper()
		ids = []string{}
		err := b.ReadRetained(ctx, "orders", r, func(e broker.Extent) error { x = e; return nil }, func(r *broker.Retained) error {
			if r.Err != nil {
				t.Error(r.Err)
			}
			ids = append(ids, r.Message.ID)
			stored = append(stored, r.Stored)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return x, ids, stored
	}
	if x, ids, _ := read(broker.TimeRange{}); len(ids) != 0 || x.Records != 0 {
		t.Errorf("an empty stream holds %v", ids)
	}
	var want []string
	for i := range 30 {
		m := numbered("orders", i)
		want = append(want, m.ID)
		if err := publishOne(b, m); err != nil {
			t.Fatal(err)
		}
	}
	x, ids, stored := read(broker.TimeRange{})
	if !slices.Equal(ids, want) || x.Records != 30 || x.Trimmed[0] {
		t.Errorf("%+v: read %v, want %v", x, ids, want)
	}
	if _, ids, _ := read(broker.TimeRange{Since: stored[10], Until: stored[20]}); !slices.Equal(ids, want[10:20]) {
		t.Errorf("of a range %v was read, want %v", ids, want[10:20])
	}
	if _, ids, _ := read(broker.TimeRange{Since: stored[29].Add(time.Hour)}); len(ids) != 0 {
		t.Errorf("of the future %v was read", ids)
	}
	stream, err := b.js.Stream(ctx, b.names.stream("orders"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(stream.Purge(ctx, jetstream.WithPurgeSequence(6)), stream.DeleteMsg(ctx, 12), stream.DeleteMsg(ctx, 30)); err != nil {
		t.Fatal(err)
	}
	x, ids, _ = read(broker.TimeRange{})
	if left := slices.Concat(want[5:11], want[12:29]); !slices.Equal(ids, left) || !x.Trimmed[0] {
		t.Errorf("after records were removed: %+v, read %v, want %v", x, ids, left)
	}
	stop := errors.New("enough")
	extent := func(broker.Extent) error { return nil }
	if err := b.ReadRetained(ctx, "orders", broker.TimeRange{}, extent, func(*broker.Retained) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("the reading ended with %v", err)
	}
	if err := b.ReadRetained(ctx, "absent", broker.TimeRange{}, extent, func(*broker.Retained) error { return nil }); !errors.Is(err, broker.ErrNoChannel) {
		t.Errorf("an absent channel: %v", err)
	}
	if x := fmt.Sprint(x.Partitions); x == "0" {
		t.Error("the channel has no partitions")
	}
}
