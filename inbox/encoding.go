package inbox

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// ErrCorrupt is wrapped by errors about stored holes that do not decode.
var ErrCorrupt = errors.New("corrupt inbox state")

// maxSequence is the highest number that a lane can count to: what databases
// keep is signed.
const maxSequence = math.MaxInt64

const holesVersion = 1

// EncodeHoles returns the holes of a lane, which are in order and do not touch
// each other, as one version byte (1), their number as an unsigned varint, and
// for each hole two unsigned varints (encoding/binary): how many numbers lie
// between the last hole, or 0, and its First; and (Last-First)<<1, plus 1 for a
// hole before the start. No holes are no bytes.
func EncodeHoles(holes []Hole) []byte {
	if len(holes) == 0 {
		return nil
	}
	b := make([]byte, 0, 2+4*len(holes))
	b = append(b, holesVersion)
	b = binary.AppendUvarint(b, uint64(len(holes)))
	var last uint64
	for _, h := range holes {
		length := (h.Last - h.First) << 1
		if h.Before {
			length |= 1
		}
		b = binary.AppendUvarint(b, h.First-last-1)
		b = binary.AppendUvarint(b, length)
		last = h.Last
	}
	return b
}

// DecodeHoles reverses EncodeHoles. The error wraps ErrCorrupt.
func DecodeHoles(b []byte) ([]Hole, error) {
	if len(b) == 0 {
		return nil, nil
	}
	if b[0] != holesVersion {
		return nil, fmt.Errorf("decode holes: %w: version %d, not %d", ErrCorrupt, b[0], holesVersion)
	}
	n, rest, ok := uvarint(b[1:])
	// Every hole takes two bytes at least, which bounds what is allocated.
	if !ok || n == 0 || n > uint64(len(rest)/2) {
		return nil, fmt.Errorf("decode holes: %w: %d holes in %d bytes", ErrCorrupt, n, len(b))
	}
	holes := make([]Hole, n)
	var last uint64
	for i := range holes {
		var between, length uint64
		var ok1, ok2 bool
		between, rest, ok1 = uvarint(rest)
		length, rest, ok2 = uvarint(rest)
		touches := i > 0 && between == 0
		if !ok1 || !ok2 || touches || between >= maxSequence-last || length>>1 > maxSequence-last-between-1 {
			return nil, fmt.Errorf("decode holes: %w: hole %d is truncated or out of range", ErrCorrupt, i)
		}
		first := last + between + 1
		holes[i] = Hole{First: first, Last: first + length>>1, Before: length&1 == 1}
		last = holes[i].Last
	}
	if len(rest) != 0 {
		return nil, fmt.Errorf("decode holes: %w: %d bytes too many", ErrCorrupt, len(rest))
	}
	return holes, nil
}

func uvarint(b []byte) (v uint64, rest []byte, ok bool) {
	v, n := binary.Uvarint(b)
	if n <= 0 {
		return 0, nil, false
	}
	return v, b[n:], true
}
