package eventtest

import "slices"

// EachOrder calls try with the events in each order in which they can arrive:
// those of one channel and aggregate id keep theirs, all others are mixed. Make a new [Case],
// and a new database, in each. Ten events of ten aggregates have 3.6 million orders: give few.
func EachOrder(events []Sent, try func(order []Sent)) {
	eachOrder(nil, slices.Clone(events), try)
}

func eachOrder(before, rest []Sent, try func([]Sent)) {
	if len(rest) == 0 {
		try(slices.Clone(before))
		return
	}
	for i, s := range rest {
		held := slices.ContainsFunc(rest[:i], func(earlier Sent) bool {
			return earlier.Aggregate.Channel == s.Aggregate.Channel && earlier.ID == s.ID
		})
		if !held {
			eachOrder(append(slices.Clone(before), s), slices.Delete(slices.Clone(rest), i, i+1), try)
		}
	}
}
