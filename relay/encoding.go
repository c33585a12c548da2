package relay

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Counters are the last numbers given in each lane of one channel.
type Counters []uint64

// ErrCorrupt is wrapped by errors about stored plans or counters that do not decode.
var ErrCorrupt = errors.New("corrupt relay state")

// Encode returns the counters as one version byte (1), the number of lanes and
// then each counter, all as unsigned varints (encoding/binary).
func (c Counters) Encode() []byte {
	b := make([]byte, 0, 2+3*len(c))
	b = append(b, 1)
	b = binary.AppendUvarint(b, uint64(len(c)))
	for _, n := range c {
		b = binary.AppendUvarint(b, n)
	}
	return b
}

// maxLanes bounds what a decoder allocates.
const maxLanes = 1 << 20

// DecodeCounters reverses Encode. The error wraps ErrCorrupt.
func DecodeCounters(b []byte) (Counters, error) {
	r := varintReader{rest: b}
	r.version(1)
	n := r.uvarint()
	if r.err == nil && (n > maxLanes || n > uint64(len(r.rest))) {
		r.fail("%d lanes in %d bytes", n, len(b))
	}
	if r.err != nil {
		return nil, fmt.Errorf("decode counters: %w", r.err)
	}
	c := make(Counters, n)
	for i := range c {
		c[i] = r.uvarint()
	}
	if err := r.end(); err != nil {
		return nil, fmt.Errorf("decode counters: %w", err)
	}
	return c, nil
}

// EncodePositions returns positions, in the given order, as one version byte
// (1), their number as an unsigned varint and the differences from one to the
// next, starting from 0, as signed varints (encoding/binary). Neighbouring rows take one byte each.
func EncodePositions(positions []int64) []byte {
	b := make([]byte, 0, 11+2*len(positions))
	b = append(b, 1)
	b = binary.AppendUvarint(b, uint64(len(positions)))
	var last int64
	for _, p := range positions {
		b = binary.AppendVarint(b, p-last)
		last = p
	}
	return b
}

// DecodePositions reverses EncodePositions. The error wraps ErrCorrupt.
func DecodePositions(b []byte) ([]int64, error) {
	r := varintReader{rest: b}
	r.version(1)
	n := r.uvarint()
	if r.err == nil && n > uint64(len(r.rest)) {
		r.fail("%d positions in %d bytes", n, len(b))
	}
	if r.err != nil {
		return nil, fmt.Errorf("decode positions: %w", r.err)
	}
	positions := make([]int64, n)
	var last int64
	for i := range positions {
		last += r.varint()
		positions[i] = last
	}
	if err := r.end(); err != nil {
		return nil, fmt.Errorf("decode positions: %w", err)
	}
	return positions, nil
}

// varintReader remembers the first error, so that its callers check once.
type varintReader struct {
	rest []byte
	err  error
}

func (r *varintReader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s", ErrCorrupt, fmt.Sprintf(format, args...))
	}
}

func (r *varintReader) version(want byte) {
	if len(r.rest) == 0 || r.rest[0] != want {
		r.fail("not version %d", want)
		return
	}
	r.rest = r.rest[1:]
}

func (r *varintReader) uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	return advance(r, v, n)
}

func (r *varintReader) varint() int64 {
	v, n := binary.Varint(r.rest)
	return advance(r, v, n)
}

func advance[T any](r *varintReader, v T, n int) T {
	var zero T
	if r.err != nil {
		return zero
	}
	if n <= 0 {
		r.fail("truncated or overlong number")
		return zero
	}
	r.rest = r.rest[n:]
	return v
}

func (r *varintReader) end() error {
	if r.err == nil && len(r.rest) != 0 {
		r.fail("%d bytes too many", len(r.rest))
	}
	return r.err
}
