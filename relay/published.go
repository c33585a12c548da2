package relay

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// A PositionSet is a set of positions: all up to High, but for those in Gaps.
type PositionSet struct {
	High int64
	// Gaps are in order, do not touch each other, and end below High.
	Gaps []Range
}

// Has tells whether the position is in the set.
func (s *PositionSet) Has(position int64) bool {
	if position > s.High {
		return false
	}
	_, gap := s.find(position)
	return !gap
}

// find returns the gap that the position lies in, or the first one above it.
func (s *PositionSet) find(position int64) (i int, found bool) {
	return slices.BinarySearchFunc(s.Gaps, position, func(r Range, at int64) int {
		switch {
		case r.Last < at:
			return -1
		case r.First > at:
			return 1
		}
		return 0
	})
}

// Encode returns the set as one version byte (1), High as a signed varint, the
// number of gaps as an unsigned one, and for each gap two unsigned ones: the
// distance of its first position from the end of the gap before (from the lowest
// int64 for the first, modulo 2^64), and its length.
func (s *PositionSet) Encode() []byte {
	b := make([]byte, 0, 16+4*len(s.Gaps))
	b = append(b, 1)
	b = binary.AppendVarint(b, s.High)
	b = binary.AppendUvarint(b, uint64(len(s.Gaps)))
	last := int64(lowestPosition)
	for _, gap := range s.Gaps {
		b = binary.AppendUvarint(b, uint64(gap.First)-uint64(last))
		b = binary.AppendUvarint(b, uint64(gap.Last)-uint64(gap.First)+1)
		last = gap.Last
	}
	return b
}

const lowestPosition = -1 << 63

// DecodePositionSet reverses Encode. No bytes are the empty set. The error wraps
// ErrCorrupt.
func DecodePositionSet(b []byte) (PositionSet, error) {
	if len(b) == 0 {
		return PositionSet{}, nil
	}
	r := varintReader{rest: b}
	r.version(1)
	s := PositionSet{High: r.varint()}
	n := r.uvarint()
	if r.err == nil && n > uint64(len(r.rest)) {
		r.fail("%d gaps in %d bytes", n, len(b))
	}
	if r.err != nil {
		return PositionSet{}, fmt.Errorf("decode positions: %w", r.err)
	}
	last := int64(lowestPosition)
	for i := range n {
		from, length := r.uvarint(), r.uvarint()
		gap := Range{First: int64(uint64(last) + from)}
		gap.Last = int64(uint64(gap.First) + length - 1)
		if r.err == nil && (length == 0 || gap.Last < gap.First || gap.Last >= s.High || i > 0 && (from < 2 || gap.First <= last)) {
			r.fail("gap %d is %d to %d, behind %d and below %d", i, gap.First, gap.Last, last, s.High)
		}
		if r.err != nil {
			break
		}
		s.Gaps = append(s.Gaps, gap)
		last = gap.Last
	}
	if err := r.end(); err != nil {
		return PositionSet{}, fmt.Errorf("decode positions: %w", err)
	}
	return s, nil
}
