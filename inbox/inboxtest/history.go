package inboxtest

import (
	"fmt"
	"strings"

	"pgregory.net/rapid"
)

// A history is everything that happens by chance in one run.
type history struct {
	// lanes has for each message its lane; -1 is a message without one.
	lanes []int
	// keys has for each message the number of its key within the lane.
	keys []int
	// plans are the batches of the relay, which kills it in the middle of some.
	plans []plan
	// disturb is done to the broker's log, step by step.
	disturb []disturbance
	// cuts are numbers of acknowledgements after which the process ends.
	cuts []int
	// transactions and handlers say what happens to the first ones of each.
	transactions []fault
	handlers     []fault
	// poison are messages that fail until somebody has healed them.
	poison map[int]bool

	concurrency, batch int
}

// A plan is published in order. Where killed is not negative, the relay is
// killed after so many of its messages, and the next one publishes it whole.
type plan struct{ size, killed int }

// A disturbance moves, repeats or drops one record of the log.
type disturbance struct {
	kind     string // "move", "repeat", "drop"
	from, to int    // places in the log, modulo its length
}

type fault string

const (
	none fault = ""
	// before: a transaction fails and is rolled back; a handler returns an error.
	before fault = "before"
	// after: a transaction is committed, but the caller is told that it failed.
	after fault = "after"
	// panics: a handler panics.
	panics fault = "panics"
)

const maxMessages = 24

// histories draws a history. Only with parking are messages poisoned.
func histories(parking bool) *rapid.Generator[*history] {
	return rapid.Custom(func(t *rapid.T) *history {
		h := &history{poison: map[int]bool{}}
		h.lanes = rapid.SliceOfN(rapid.SampledFrom([]int{0, 0, 0, 1, 1, -1}), 1, maxMessages).Draw(t, "lanes")
		n := len(h.lanes)
		h.keys = rapid.SliceOfN(rapid.IntRange(0, 2), n, n).Draw(t, "keys")
		for left := n; left > 0; {
			p := plan{size: rapid.IntRange(1, left).Draw(t, "plan"), killed: -1}
			if rapid.Bool().Draw(t, "killed") {
				p.killed = rapid.IntRange(0, p.size).Draw(t, "killed after")
			}
			h.plans = append(h.plans, p)
			left -= p.size
		}
		h.disturb = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) disturbance {
			return disturbance{
				kind: rapid.SampledFrom([]string{"move", "repeat", "drop"}).Draw(t, "kind"),
				from: rapid.IntRange(0, 2*maxMessages).Draw(t, "from"),
				to:   rapid.IntRange(0, 2*maxMessages).Draw(t, "to"),
			}
		}), 0, 8).Draw(t, "disturbances")
		h.cuts = rapid.SliceOfN(rapid.IntRange(0, n), 0, 2).Draw(t, "cuts")
		h.transactions = rapid.SliceOfN(rapid.SampledFrom([]fault{none, none, before, after}), 0, 30).Draw(t, "transactions")
		h.handlers = rapid.SliceOfN(rapid.SampledFrom([]fault{none, none, none, before, panics}), 0, 30).Draw(t, "handlers")
		if parking {
			for _, i := range rapid.SliceOfN(rapid.IntRange(0, 4*n), 0, 3).Draw(t, "poison") {
				if i < n {
					h.poison[i] = true
				}
			}
		}
		h.concurrency = rapid.IntRange(1, 4).Draw(t, "concurrency")
		h.batch = rapid.SampledFrom([]int{1, 5}).Draw(t, "batch")
		return h
	})
}

func (h *history) String() string {
	var s strings.Builder
	fmt.Fprintf(&s, "lanes %v\nkeys %v\nplans %v\n", h.lanes, h.keys, h.plans)
	fmt.Fprintf(&s, "disturbances %v\ncuts %v\ntransactions %q\nhandlers %q\n", h.disturb, h.cuts, h.transactions, h.handlers)
	fmt.Fprintf(&s, "poison %v\nconcurrency %d, batch %d\n", h.poison, h.concurrency, h.batch)
	return s.String()
}
