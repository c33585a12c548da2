package relay

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// hand hands a plan over to a broker that answers when the script says so.
func (m *machine) hand(plan int64) string {
	_, ms, done, ok := m.window.hand(m.plans[plan])
	if !ok {
		return "has to wait"
	}
	m.handed[plan] = done
	return names(ms)
}

// answer is the broker's, for a whole plan or for one of its messages.
func (m *machine) answer(place string, fails bool) {
	var err error
	if fails {
		err = errors.New("no leader")
	}
	plan, message, one := strings.Cut(place, "/")
	id := m.number(plan)
	for i := range m.plans[id].messages {
		name := fmt.Sprintf("%s/%d", plan, i+1)
		if one && fmt.Sprint(i+1) != message {
			continue
		}
		if at := slices.Index(m.places, name); m.retried != nil && at >= 0 {
			m.retried(at, err)
		} else {
			m.handed[id](i, err)
		}
	}
}

// collect does what the commit of completed plans does.
func (m *machine) collect() string {
	completed := m.window.completed()
	if len(completed) == 0 {
		return "nothing"
	}
	touched := map[string]bool{}
	var ids []string
	for _, p := range completed {
		m.numbering.complete(p.messages, touched)
		m.positions.remove(p.positions)
		for _, at := range p.positions {
			delete(m.rows, at)
		}
		m.saved.Plans = slices.DeleteFunc(m.saved.Plans, func(s Plan) bool { return s.ID == p.id })
		ids = append(ids, fmt.Sprint(p.id))
	}
	maps.Copy(m.saved.Counters, m.numbering.encode(touched))
	sum := uint64(0)
	for _, n := range m.numbering.completed["orders"] {
		sum += n
	}
	return fmt.Sprintf("plan %s; counters add up to %d", strings.Join(ids, ", "), sum)
}

// takeover forgets everything but what the source remembers.
func (m *machine) takeover() string {
	m.begin()
	var all []string
	for _, plan := range m.saved.Plans {
		positions, err := DecodePositions(plan.Positions)
		if err != nil {
			m.t.Fatal(err)
		}
		m.next = plan.ID
		m.positions.take(positions)
		var rows []Row
		for _, at := range positions {
			rows = append(rows, m.row(at))
		}
		p := &inflight{id: plan.ID, positions: positions}
		m.add(p, rows)
		all = append(all, fmt.Sprintf("plan %d: %s", p.id, describe(p)))
	}
	if all == nil {
		return "no plans"
	}
	return strings.Join(all, "; ")
}
