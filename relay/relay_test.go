package relay

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tidings.example/broker/inproc"
)

func TestRelayPublishesInOrderAndRemoves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, broker := newBook(), inproc.New(inproc.Config{})
		want := map[string][]string{}
		for i := range 50 {
			id, key := fmt.Sprintf("m%02d", i), fmt.Sprintf("k%d", i%5)
			b.append(id, key)
			want[key] = append(want[key], id)
		}
		r, stop := process(t, newSeat(b), broker, nil)
		until(t, "the outbox is empty", b.empty)
		if err := r.Ready(); err != nil {
			t.Errorf("not ready: %v", err)
		}
		<-time.After(3 * time.Second)
		stop()
		if !slices.Equal(b.swept, []Range{{lowest, 50}}) {
			t.Errorf("after all rows are removed the relay still remembers some: it reads %v", b.swept)
		}
		for key, ids := range consistent(t, broker.Messages("orders")) {
			if !slices.Equal(ids, want[key]) {
				t.Errorf("key %s: got %v, want %v", key, ids, want[key])
			}
		}
		if s := r.Stats(); s.Published != 50 || s.Repeated != 0 || s.Role != Stopped {
			t.Errorf("stats are %+v", s)
		}
		if len(b.plans) != 0 || b.holder != "" {
			t.Errorf("after a clean stop there are %d plans, and the lease is held by %q", len(b.plans), b.holder)
		}
	})
}

func TestNewNamesTheWrongSetting(t *testing.T) {
	t.Parallel()
	good := func() Config { return Config{Source: newSeat(newBook()), Broker: inproc.New(inproc.Config{})} }
	for field, change := range map[string]func(*Config){
		"Source":    func(c *Config) { c.Source = nil },
		"Broker":    func(c *Config) { c.Broker = nil },
		"LeaseTTL":  func(c *Config) { c.LeaseTTL = time.Millisecond },
		"Lanes":     func(c *Config) { c.Lanes = -1 },
		"BatchRows": func(c *Config) { c.BatchRows = -1 },
		"Idle":      func(c *Config) { c.Idle = -1 },
		"Holder":    func(c *Config) { c.Holder = strings.Repeat("h", 300) },
	} {
		cfg := good()
		change(&cfg)
		if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: got %v", field, err)
		}
	}
	if _, err := New(good()); err != nil {
		t.Error(err)
	}
}
