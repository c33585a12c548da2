package natsjs

import (
	"fmt"
	"slices"
	"testing"
)

func entry(incarnation string, channels ...string) memberEntry {
	return memberEntry{Incarnation: incarnation, Channels: channels}
}

// shares lists who owns which partitions of a channel.
func shares(r *roster, channel string, partitions int) map[string][]int {
	by := map[string][]int{}
	for i := range partitions {
		owner := r.owner(place{channel, i})
		by[owner] = append(by[owner], i)
	}
	return by
}

func TestRosterShares(t *testing.T) {
	t.Parallel()
	r := newRoster("a")
	r.beat("b", entry("1", "c"))
	if got := r.owner(place{"c", 0}); got != "" {
		t.Errorf("%q owns a partition before the member has seen itself", got)
	}
	r.beat("a", entry("1", "c", "only-a"))
	for who, parts := range shares(r, "c", 4) {
		if len(parts) != 2 {
			t.Errorf("%s owns the partitions %v of two members and four partitions", who, parts)
		}
	}
	if got := shares(r, "only-a", 4)["a"]; len(got) != 4 {
		t.Errorf("a owns %v of a channel that only it subscribes to", got)
	}
	if r.beat("b", entry("1", "c")) {
		t.Error("the same entry again is a change")
	}
	leaving := entry("1", "c")
	leaving.Leaving = true
	if !r.beat("b", leaving) || len(shares(r, "c", 4)["a"]) != 4 {
		t.Error("a member that leaves keeps its share")
	}
	if !r.alive("b", "1") {
		t.Error("a member that leaves counts as dead while it still holds leases")
	}
	r.gone("b")
	if r.alive("b", "1") {
		t.Error("a member that is gone counts as alive")
	}
}

func TestRosterSpreadsChannelsOfOnePartition(t *testing.T) {
	t.Parallel()
	r := newRoster("a")
	var channels []string
	for i := range 100 {
		channels = append(channels, fmt.Sprintf("channel-%d", i))
	}
	r.beat("a", entry("1", channels...))
	r.beat("b", entry("1", channels...))
	mine := 0
	for _, c := range channels {
		mine += len(shares(r, c, 1)["a"])
	}
	if mine < 25 || mine > 75 {
		t.Errorf("one of two members owns %d of 100 channels", mine)
	}
}

func TestRosterMeasuresByOwnBeats(t *testing.T) {
	t.Parallel()
	r := newRoster("a")
	r.beat("b", entry("1", "c"))
	for i := range missedLimit - 1 {
		r.beat("a", entry("1", "c"))
		if !r.alive("b", "1") {
			t.Fatalf("b counts as dead after %d beats", i+1)
		}
	}
	r.beat("b", entry("1", "c"))
	for range missedLimit - 1 {
		r.beat("a", entry("1", "c"))
	}
	if !r.alive("b", "1") {
		t.Fatal("a beat of b did not count")
	}
	if !r.beat("a", entry("1", "c")) || r.alive("b", "1") {
		t.Fatal("b counts as alive after it has missed too many beats")
	}
	if got := shares(r, "c", 4)["a"]; !slices.Equal(got, []int{0, 1, 2, 3}) {
		t.Errorf("the survivor owns %v", got)
	}
	// A younger process of that name does not make the older one alive.
	r.beat("b", entry("2", "c"))
	if r.alive("b", "1") || !r.alive("b", "2") {
		t.Error("incarnations are mixed up")
	}
}

func TestMemberNames(t *testing.T) {
	t.Parallel()
	var n memberNames
	one, releaseOne := n.take("s", "m")
	two, _ := n.take("s", "m")
	other, _ := n.take("s2", "m")
	releaseOne()
	again, _ := n.take("s", "m")
	if got := []string{one, two, other, again}; !slices.Equal(got, []string{"m", "m/1", "m", "m"}) {
		t.Errorf("names are %q", got)
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	n := names{"tidings"}
	for _, channel := range []string{"orders", "a.b.c", "a-b_c.D1", "a_b", "a.b", "a-b"} {
		got, ok := n.channel(n.stream(channel))
		if !ok || got != channel {
			t.Errorf("channel %q comes back as %q", channel, got)
		}
		p, ok := parsePlace(n.positionKey("sub.scriber", place{channel, 7})[len("sub=scriber."):])
		if !ok || p != (place{channel, 7}) {
			t.Errorf("partition 7 of %q comes back as %v", channel, p)
		}
	}
	if _, ok := n.channel("tidings_positions"); ok {
		t.Error("a bucket's stream is taken for a channel")
	}
	for _, rest := range []string{"", "orders", "orders.", "orders.x", "orders.-1"} {
		if p, ok := parsePlace(rest); ok {
			t.Errorf("%q is taken for %v", rest, p)
		}
	}
}
