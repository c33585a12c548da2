package inproc

import "slices"

// A group is a subscriber: its members and how far it has got. The broker's
// mutex guards it.
type group struct {
	members   []*member // in the order in which they joined
	positions map[place]*position
	// round is raised to take every partition away.
	round   int
	changed chan struct{}
}

// A place is one partition of one channel.
type place struct {
	channel   string
	partition int
}

type position struct {
	next  int // everything before it was acknowledged
	owner *member
}

func (b *Broker) group(name string) *group {
	g := b.groups[name]
	if g == nil {
		g = &group{positions: map[place]*position{}, changed: make(chan struct{})}
		b.groups[name] = g
	}
	return g
}

// wake makes all members look at the group again.
func (g *group) wake() {
	close(g.changed)
	g.changed = make(chan struct{})
}

func (g *group) takeAll() {
	g.round++
	g.wake()
}

func (g *group) position(p place) *position {
	if g.positions[p] == nil {
		g.positions[p] = &position{}
	}
	return g.positions[p]
}

// belongs reports whether the partition should be m's. Those members share a
// channel's partitions in turn that subscribe to it.
func (g *group) belongs(p place, m *member) bool {
	var sharing []*member
	for _, other := range g.members {
		if slices.Contains(other.channels, p.channel) {
			sharing = append(sharing, other)
		}
	}
	return len(sharing) > 0 && sharing[p.partition%len(sharing)] == m
}

func (g *group) leave(m *member) {
	g.members = slices.DeleteFunc(g.members, func(other *member) bool { return other == m })
	g.wake()
}
