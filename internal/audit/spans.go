package audit

import (
	"slices"
	"sort"

	"tidings.example/admin"
)

// Spans are numbers, as intervals in order that do not touch each other.
type Spans []admin.Span

// Add adds a number. fresh is false where it was there; late is set where a higher
// one was added before.
func (s *Spans) Add(n uint64) (fresh, late bool) {
	all := *s
	switch end := len(all) - 1; {
	case end < 0 || n > all[end].Last+1:
		*s = append(all, admin.Span{First: n, Last: n})
		return true, false
	case n == all[end].Last+1:
		all[end].Last = n
		return true, false
	}
	i := sort.Search(len(all), func(i int) bool { return all[i].Last >= n })
	if all[i].First <= n {
		return false, false
	}
	below := i > 0 && all[i-1].Last+1 == n
	above := all[i].First == n+1
	switch {
	case below && above:
		all[i-1].Last = all[i].Last
		*s = slices.Delete(all, i, i+1)
	case below:
		all[i-1].Last = n
	case above:
		all[i].First = n
	default:
		*s = slices.Insert(all, i, admin.Span{First: n, Last: n})
	}
	return true, true
}

// Has tells whether a number is there.
func (s Spans) Has(n uint64) bool {
	i := sort.Search(len(s), func(i int) bool { return s[i].Last >= n })
	return i < len(s) && s[i].First <= n
}

// Count returns how many numbers there are.
func (s Spans) Count() (n uint64) {
	for _, span := range s {
		n += span.Last - span.First + 1
	}
	return n
}

// First and Last are the lowest and the highest number, 0 where there is none.
func (s Spans) First() uint64 {
	if len(s) == 0 {
		return 0
	}
	return s[0].First
}

// Last is the highest number.
func (s Spans) Last() uint64 {
	if len(s) == 0 {
		return 0
	}
	return s[len(s)-1].Last
}

// Without returns the numbers of s that are not in other.
func (s Spans) Without(other Spans) Spans {
	var rest Spans
	i := 0
	for _, span := range s {
		for i > 0 && other[i-1].Last >= span.First {
			i--
		}
		from := span.First
		for ; i < len(other) && other[i].First <= span.Last && from <= span.Last; i++ {
			if other[i].Last < from {
				continue
			}
			if other[i].First > from {
				rest = append(rest, admin.Span{First: from, Last: other[i].First - 1})
			}
			from = other[i].Last + 1
		}
		if from <= span.Last {
			rest = append(rest, admin.Span{First: from, Last: span.Last})
		}
	}
	return rest
}

// Within returns the numbers of s that are in other too.
func (s Spans) Within(other Spans) Spans { return s.Without(s.Without(other)) }

// between is the numbers from first to last, none where last is lower.
func between(first, last uint64) Spans {
	if last < first {
		return nil
	}
	return Spans{{First: first, Last: last}}
}
