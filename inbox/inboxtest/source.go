package inboxtest

import (
	"fmt"
	"slices"
	"time"

	"tidings.example"
)

// A record is an entry in the broker's log: message i as it was published.
type record struct {
	i int
	m tidings.Message
}

// source is the model of an outbox with its relay.
type source struct {
	h     *history
	made  []tidings.Message
	epoch string
	// renumbers is a mistake: after it was killed, the relay reads the rows of
	// its plan in another order and numbers them anew.
	renumbers bool
}

func newSource(h *history, run string) *source {
	s := &source{h: h, epoch: tidings.NewID()}
	start := time.Now().UTC().Truncate(time.Microsecond)
	for i, lane := range h.lanes {
		s.made = append(s.made, tidings.Message{
			ID: fmt.Sprintf("%s/%d", run, i), Source: "model", Channel: "model", Type: "Made", ContentType: "text/plain",
			Key: fmt.Sprintf("%d/%d", lane, h.keys[i]), Time: start.Add(time.Duration(i) * time.Microsecond),
			Payload: []byte(fmt.Sprint(i)), Stamp: tidings.Stamp{Epoch: s.epoch, Lane: max(lane, 0)},
		})
	}
	return s
}

// publish returns the log that the relay makes.
func (s *source) publish() (log []record) {
	last := map[int]uint64{}
	next := 0
	for _, p := range s.h.plans {
		rows := make([]int, p.size)
		for i := range rows {
			rows[i] = next + i
		}
		next += p.size
		if p.killed >= 0 {
			log = append(log, s.number(rows, last)[:p.killed]...)
			if s.renumbers {
				slices.Reverse(rows)
			}
		}
		whole := s.number(rows, last)
		log = append(log, whole...)
		for _, r := range whole {
			last[r.m.Stamp.Lane] = max(last[r.m.Stamp.Lane], r.m.Stamp.Sequence)
		}
	}
	return log
}

// number gives the rows of a plan the numbers after those that the plans
// before it have used up.
func (s *source) number(rows []int, last map[int]uint64) []record {
	given := map[int]uint64{}
	var records []record
	for _, i := range rows {
		r := record{i: i, m: s.made[i]}
		if lane := s.h.lanes[i]; lane < 0 {
			r.m.Stamp = tidings.Stamp{} // another producer's, which counts nothing
		} else {
			given[lane]++
			r.m.Stamp.Sequence = last[lane] + given[lane]
		}
		records = append(records, r)
	}
	return records
}

// disturbed returns the log as it is delivered.
func disturbed(log []record, steps []disturbance) []record {
	log = slices.Clone(log)
	for _, d := range steps {
		if len(log) == 0 {
			return log
		}
		from, to := d.from%len(log), d.to%len(log)
		r := log[from]
		if d.kind != "repeat" {
			log = slices.Delete(log, from, from+1)
			to = min(to, len(log))
		}
		if d.kind != "drop" {
			log = slices.Insert(log, to, r)
		}
	}
	return log
}
