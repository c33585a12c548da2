package binlog

import (
	"encoding/binary"
	"errors"
)

var errShort = errors.New("ends too early")

// reading takes values from the front of bytes. After the first that is not
// there all are zero, and err says so.
type reading struct {
	rest []byte
	err  error
}

func (r *reading) bytes(n int) []byte {
	if n < 0 || n > len(r.rest) {
		r.err, r.rest = errShort, nil
		return nil
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}

// uint takes a little-endian number of up to 8 bytes.
func (r *reading) uint(size int) uint64 {
	var full [8]byte
	copy(full[:], r.bytes(size))
	return binary.LittleEndian.Uint64(full[:])
}

// packed takes a number in the protocol's form with a length in front.
func (r *reading) packed() int {
	n := r.uint(1)
	switch n {
	case 251:
		r.err = errShort // NULL, which no length is
		return 0
	case 252:
		n = r.uint(2)
	case 253:
		n = r.uint(3)
	case 254:
		n = r.uint(8)
	}
	if n > 1<<31-1 {
		r.err, r.rest = errShort, nil
		return 0
	}
	return int(n)
}
