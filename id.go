package tidings

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"sync"
	"time"
)

// idState makes the ids of one process strictly increasing, also within one
// millisecond and when the clock is set back.
var idState struct {
	sync.Mutex
	last uint64 // milliseconds << 12 | counter: the first 60 variable bits
}

// NewID returns a new UUIDv7 (RFC 9562, section 5.7) in its usual text form.
// Ids of one process sort in the order in which they were made: the 12 bits
// after the millisecond are a counter (method 1 of section 6.2), the remaining
// 62 bits are random.
func NewID() string {
	var random [8]byte
	// crypto/rand.Read never returns an error: it ends the program instead.
	_, _ = rand.Read(random[:])
	return formatV7(nextStamp(time.Now()), random)
}

func nextStamp(now time.Time) uint64 {
	idState.Lock()
	defer idState.Unlock()
	stamp := uint64(now.UnixMilli()) << 12
	if stamp <= idState.last {
		stamp = idState.last + 1
	}
	idState.last = stamp
	return stamp
}

func formatV7(stamp uint64, random [8]byte) string {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], stamp>>12<<16|0x7000|stamp&0xfff)
	copy(b[8:], random[:])
	b[8] = b[8]&0x3f | 0x80
	var text [36]byte
	hex.Encode(text[0:8], b[0:4])
	text[8] = '-'
	hex.Encode(text[9:13], b[4:6])
	text[13] = '-'
	hex.Encode(text[14:18], b[6:8])
	text[18] = '-'
	hex.Encode(text[19:23], b[8:10])
	text[23] = '-'
	hex.Encode(text[24:], b[10:])
	return string(text[:])
}
