package relay

import "slices"

// published keeps a [PositionSet] while rows come in the order of their commits,
// which is about that of their positions. In doubt a row counts as not
// published: it is then published twice at the worst, and never lost.
type published struct {
	set   PositionSet
	limit int // of the number of gaps
}

// maxPublishedGaps bounds what a checkpoint takes: two to four bytes each.
const maxPublishedGaps = 1024

// newPublished decodes what a checkpoint holds; nothing means that no row at all
// is known to be published.
func newPublished(b []byte) (*published, error) {
	p := &published{set: PositionSet{High: lowestPosition}, limit: maxPublishedGaps}
	if len(b) == 0 {
		return p, nil
	}
	var err error
	p.set, err = DecodePositionSet(b)
	return p, err
}

func (p *published) encode() []byte {
	if p.set.High == lowestPosition {
		return nil
	}
	return p.set.Encode()
}

func (p *published) has(position int64) bool {
	return p.set.High != lowestPosition && p.set.Has(position)
}

// add notes that the row is published or set aside.
func (p *published) add(position int64) {
	s := &p.set
	switch {
	case position == s.High+1:
		s.High = position
	case position > s.High:
		s.Gaps = append(s.Gaps, Range{s.High + 1, position - 1})
		s.High = position
		p.bound()
	default:
		p.fill(position)
	}
}

// fill takes one position out of its gap.
func (p *published) fill(position int64) {
	s := &p.set
	i, found := s.find(position)
	if !found {
		return
	}
	gap := &s.Gaps[i]
	switch {
	case gap.First == gap.Last:
		s.Gaps = slices.Delete(s.Gaps, i, i+1)
	case gap.First == position:
		gap.First++
	case gap.Last == position:
		gap.Last--
	default:
		above := Range{position + 1, gap.Last}
		gap.Last = position - 1
		s.Gaps = slices.Insert(s.Gaps, i+1, above)
		p.bound()
	}
}

// floor notes that no row at this or a lower position is still to come.
func (p *published) floor(position int64) {
	s := &p.set
	n := 0
	for n < len(s.Gaps) && s.Gaps[n].Last <= position {
		n++
	}
	s.Gaps = slices.Delete(s.Gaps, 0, n)
	if len(s.Gaps) > 0 && s.Gaps[0].First <= position {
		s.Gaps[0].First = position + 1
	}
	s.High = max(s.High, position)
}

// bound makes one of the lower half of the gaps where there are too many. The
// rows between them were published long ago, and most are out of the table.
func (p *published) bound() {
	s := &p.set
	if len(s.Gaps) <= p.limit {
		return
	}
	half := len(s.Gaps) / 2
	s.Gaps[half].First = s.Gaps[0].First
	s.Gaps = slices.Delete(s.Gaps, 0, half)
}
