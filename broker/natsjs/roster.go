package natsjs

import (
	"fmt"
	"slices"
	"sync"

	"tidings.example"
)

// A memberEntry is what a member shows of itself in the bucket of members, again
// and again: a beat.
type memberEntry struct {
	// Incarnation tells a process from the one before it under the same name.
	Incarnation string `json:"incarnation"`
	// Channels are what the member subscribes to.
	Channels []string `json:"channels"`
	// Leaving is set by a member that gives its partitions up.
	Leaving bool `json:"leaving,omitempty"`
}

// missedLimit is how many beats of its own a member sees without one of another
// member before that one counts as dead.
const missedLimit = 5

// A roster is one member's view of who shares a subscriber. It has no clock:
// all entries are read from one stream, in one order, so a member's own beats
// measure the time for the others. While the connection is away they stand
// still, and nobody is taken for dead.
type roster struct {
	self    string
	members map[string]*peer
}

type peer struct {
	memberEntry
	missed int
}

func newRoster(self string) *roster { return &roster{self: self, members: map[string]*peer{}} }

// beat takes note of an entry. It reports whether who shares what may be
// different now.
func (r *roster) beat(name string, e memberEntry) (changed bool) {
	old := r.members[name]
	changed = old == nil || old.Incarnation != e.Incarnation || old.Leaving != e.Leaving || !slices.Equal(old.Channels, e.Channels)
	r.members[name] = &peer{memberEntry: e}
	if name != r.self {
		return changed
	}
	for other, p := range r.members {
		if other == r.self {
			continue
		}
		if p.missed++; p.missed >= missedLimit {
			delete(r.members, other)
			changed = true
		}
	}
	return changed
}

// gone takes note that a member has removed its entry.
func (r *roster) gone(name string) { delete(r.members, name) }

// alive reports whether that incarnation of a member is there.
func (r *roster) alive(name, incarnation string) bool {
	p := r.members[name]
	return p != nil && p.Incarnation == incarnation
}

// owner is who should read a partition; "" while this member does not know
// itself to be on the roster. Those that subscribe to a channel take its
// partitions in turn; the first turn depends on the channel, so that many
// channels with one partition are shared too.
func (r *roster) owner(p place) string {
	if r.members[r.self] == nil {
		return ""
	}
	var sharing []string
	for name, m := range r.members {
		if !m.Leaving && slices.Contains(m.Channels, p.channel) {
			sharing = append(sharing, name)
		}
	}
	if len(sharing) == 0 {
		return ""
	}
	slices.Sort(sharing)
	return sharing[(tidings.LaneOf(p.channel, tidings.DefaultLanes)+p.partition)%len(sharing)]
}

// memberNames gives each subscription of a process a name of its own, the same
// ones after a restart: the configured name, then with "/1" and so on, when one
// process subscribes several times under one subscriber.
type memberNames struct {
	mu    sync.Mutex
	taken map[string]bool
}

func (n *memberNames) take(subscriber, member string) (name string, release func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.taken == nil {
		n.taken = map[string]bool{}
	}
	name = member
	for i := 1; n.taken[subscriber+"."+name]; i++ {
		name = fmt.Sprintf("%s/%d", member, i)
	}
	key := subscriber + "." + name
	n.taken[key] = true
	return name, func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		delete(n.taken, key)
	}
}
