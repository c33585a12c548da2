package wal

import (
	"bytes"
	"encoding/binary"
	"errors"
)

// errShort means that a message ends before it should.
var errShort = errors.New("a message of the log is shorter than it says")

// wire reads the parts of a message. Reading past the end sets short and returns zeros.
type wire struct {
	rest  []byte
	short bool
}

func (w *wire) bytes(n int) []byte {
	if n < 0 || n > len(w.rest) {
		w.short, w.rest = true, nil
		return nil
	}
	b := w.rest[:n:n]
	w.rest = w.rest[n:]
	return b
}

func (w *wire) byte() byte {
	if b := w.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

func (w *wire) uint16() int {
	if b := w.bytes(2); b != nil {
		return int(binary.BigEndian.Uint16(b))
	}
	return 0
}

func (w *wire) uint32() uint32 {
	if b := w.bytes(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (w *wire) uint64() uint64 {
	if b := w.bytes(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// text reads up to a zero byte.
func (w *wire) text() string {
	n := bytes.IndexByte(w.rest, 0)
	if n < 0 {
		w.short, w.rest = true, nil
		return ""
	}
	s := string(w.rest[:n])
	w.rest = w.rest[n+1:]
	return s
}
