package relay

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"time"

	"tidings.example"
)

// numbering gives each message the next number of its lane. It keeps two sets
// of counters: what has been given, and what of that is in completed plans; the
// second is what the source remembers.
type numbering struct {
	source    string
	epoch     string
	lanes     int
	given     map[string]Counters
	completed map[string]Counters
}

func newNumbering(source string, st State) (*numbering, error) {
	n := &numbering{source: source, epoch: st.Epoch, lanes: st.Lanes,
		given: map[string]Counters{}, completed: map[string]Counters{}}
	for channel, encoded := range st.Counters {
		c, err := DecodeCounters(encoded)
		if err == nil && len(c) != st.Lanes {
			err = fmt.Errorf("%w: %d lanes instead of %d", ErrCorrupt, len(c), st.Lanes)
		}
		if err != nil {
			return nil, fmt.Errorf("counters of channel %q: %w", channel, err)
		}
		n.completed[channel] = c
		n.given[channel] = append(Counters(nil), c...)
	}
	return n, nil
}

// stamp numbers a message.
func (n *numbering) stamp(m *tidings.Message) {
	counters := n.given[m.Channel]
	if counters == nil {
		counters = make(Counters, n.lanes)
		n.given[m.Channel] = counters
	}
	lane := tidings.LaneOf(m.OrderingKey(), n.lanes)
	counters[lane]++
	m.Source = n.source
	m.Stamp = tidings.Stamp{Epoch: n.epoch, Lane: lane, Sequence: counters[lane]}
}

// unstamp takes the number of the message stamped last back.
func (n *numbering) unstamp(m *tidings.Message) {
	n.given[m.Channel][m.Stamp.Lane]--
	m.Stamp = tidings.Stamp{}
}

// complete records the numbers of a completed plan and marks its channels in
// touched.
func (n *numbering) complete(ms []*tidings.Message, touched map[string]bool) {
	for _, m := range ms {
		counters := n.completed[m.Channel]
		if counters == nil {
			counters = make(Counters, n.lanes)
			n.completed[m.Channel] = counters
		}
		counters[m.Stamp.Lane] = m.Stamp.Sequence
		touched[m.Channel] = true
	}
}

// completeHoles records numbers that were given to nobody, after the messages
// of their piece.
func (n *numbering) completeHoles(ms []*tidings.Message, touched map[string]bool) {
	for _, m := range ms {
		counters := n.completed[m.Channel]
		if counters == nil || counters[m.Stamp.Lane] < m.Stamp.Sequence {
			n.complete([]*tidings.Message{m}, touched)
		}
	}
}

// encode returns the completed counters of the touched channels.
func (n *numbering) encode(touched map[string]bool) map[string][]byte {
	encoded := make(map[string][]byte, len(touched))
	for channel := range touched {
		encoded[channel] = n.completed[channel].Encode()
	}
	return encoded
}

// newEpochReason says why the numbers of unfinished plans cannot be given again,
// or is empty where they can.
func newEpochReason(st State) string {
	switch {
	case st.Epoch == "":
		return "first epoch"
	case st.Identity != st.Now:
		return fmt.Sprintf("the database is another one than before, or was restored (was %s, is %s)", st.Identity, st.Now)
	}
	return ""
}

// newEpochName returns a name that no epoch of any source has had: 12 hex
// digits of the time in milliseconds, which make names sort by age for people,
// and 10 random ones. It must not be derived from what is in the database: a
// restored one would give a used name again, and its messages would be taken
// for repeated ones.
func newEpochName(now time.Time) string {
	var random [5]byte
	// crypto/rand.Read never returns an error: it ends the program instead.
	_, _ = rand.Read(random[:])
	return fmt.Sprintf("%012x", now.UnixMilli()) + hex.EncodeToString(random[:])
}
