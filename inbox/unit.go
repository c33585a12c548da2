package inbox

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"tidings.example"
)

// A unit is the records of one transaction, kept in memory from Lock to Save,
// so that several messages of one lane, key or id follow each other in it.
type unit struct {
	lanes   map[tidings.Lane]*LaneState
	touched []tidings.Lane // in the order of the first change
	held    map[HeldKey]bool
	seen    map[MessageID]bool
	ids     []MessageID
	parked  []Parked
}

// wantOf names the records that a transaction about these items needs.
func wantOf(items []*item) Want {
	var w Want
	for _, it := range items {
		if lane, ok := it.m.Lane(); ok {
			w.Lanes = append(w.Lanes, lane)
		} else {
			w.IDs = append(w.IDs, idOf(it.m))
		}
		w.Keys = append(w.Keys, heldKey(it.m))
	}
	w.Lanes = sorted(w.Lanes, func(a, b tidings.Lane) int {
		return cmp.Or(strings.Compare(a.Source, b.Source), strings.Compare(a.Epoch, b.Epoch),
			strings.Compare(a.Channel, b.Channel), cmp.Compare(a.N, b.N))
	})
	w.Keys = sorted(w.Keys, func(a, b HeldKey) int {
		return cmp.Or(strings.Compare(a.Source, b.Source), strings.Compare(a.Channel, b.Channel), strings.Compare(a.Key, b.Key))
	})
	w.IDs = sorted(w.IDs, func(a, b MessageID) int {
		return cmp.Or(strings.Compare(a.Source, b.Source), strings.Compare(a.ID, b.ID))
	})
	return w
}

func sorted[T comparable](s []T, compare func(a, b T) int) []T {
	slices.SortFunc(s, compare)
	return slices.Compact(s)
}

func idOf(m *tidings.Message) MessageID { return MessageID{Source: m.Source, ID: m.ID} }

func newUnit(w Want, recs Records) (*unit, error) {
	if len(recs.Lanes) != len(w.Lanes) || len(recs.Held) != len(w.Keys) || len(recs.Seen) != len(w.IDs) {
		return nil, fmt.Errorf("the store returned %d lanes, %d keys, %d ids for %d, %d, %d",
			len(recs.Lanes), len(recs.Held), len(recs.Seen), len(w.Lanes), len(w.Keys), len(w.IDs))
	}
	u := &unit{
		lanes: make(map[tidings.Lane]*LaneState, len(w.Lanes)),
		held:  make(map[HeldKey]bool, len(w.Keys)),
		seen:  make(map[MessageID]bool, len(w.IDs)),
	}
	for i := range w.Lanes {
		state := recs.Lanes[i]
		state.Lane = w.Lanes[i]
		u.lanes[w.Lanes[i]] = &state
	}
	for i, key := range w.Keys {
		u.held[key] = recs.Held[i]
	}
	for i, id := range w.IDs {
		u.seen[id] = recs.Seen[i]
	}
	return u, nil
}

// set replaces a lane's record.
func (u *unit) set(s LaneState) {
	if !slices.Contains(u.touched, s.Lane) {
		u.touched = append(u.touched, s.Lane)
	}
	*u.lanes[s.Lane] = s
}

// see records an id as seen.
func (u *unit) see(id MessageID) {
	u.seen[id] = true
	u.ids = append(u.ids, id)
}

// park stores a message and holds its key.
func (u *unit) park(it *item, why string) {
	u.parked = append(u.parked, Parked{Message: *it.m, Reason: why, Attempts: it.attempts})
	u.held[heldKey(it.m)] = true
}

// changes returns what to save; ok is false if there is nothing.
func (u *unit) changes() (c Changes, ok bool) {
	for _, lane := range u.touched {
		c.Lanes = append(c.Lanes, *u.lanes[lane])
	}
	c.IDs, c.Park = u.ids, u.parked
	return c, len(c.Lanes)+len(c.IDs)+len(c.Park) > 0
}
