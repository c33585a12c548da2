package wal

import (
	"encoding/binary"
	"fmt"
	"io"
)

// framer cuts what the server sends into messages. While a connection is being set up
// it passes them on to pgconn, one at a time, so that nothing is left in pgconn's
// buffers when the replication begins. From then on next returns them, without
// copying, and tells before it waits: only so are rows handed over at once and still
// many together.
type framer struct {
	from io.Reader
	buf  []byte
	// buf[start:end] was received and not returned.
	start, end int
	// pass is what is left of the message that Read passes on.
	pass int
}

const (
	frameHeader = 5 // type and length
	bufferSize  = 128 << 10
	// maxMessage bounds what is received of one message. A row with as many
	// bytes cannot be published; its end is cut off.
	maxMessage = 48 << 20
)

// Read returns bytes of one message only, for pgconn.
func (f *framer) Read(p []byte) (int, error) {
	if f.pass == 0 {
		if err := f.fill(frameHeader); err != nil {
			return 0, err
		}
		f.pass = 1 + int(binary.BigEndian.Uint32(f.buf[f.start+1:]))
		if f.pass < frameHeader {
			return 0, fmt.Errorf("the server sent a message of %d bytes", f.pass)
		}
	}
	if f.start == f.end {
		if err := f.fill(1); err != nil {
			return 0, err
		}
	}
	n := copy(p, f.buf[f.start:min(f.end, f.start+f.pass)])
	f.start += n
	f.pass -= n
	return n, nil
}

// ready reports whether next has a whole message without waiting.
func (f *framer) ready() bool {
	have := f.end - f.start
	return have >= frameHeader && have-1 >= int(binary.BigEndian.Uint32(f.buf[f.start+1:]))
}

// next returns the type and the content of a message, which is good until the next
// call. Of a message with more than maxMessage bytes it returns the first ones, and how
// many were cut off.
func (f *framer) next() (kind byte, content []byte, cut int, err error) {
	if err := f.fill(frameHeader); err != nil {
		return 0, nil, 0, err
	}
	length := int(binary.BigEndian.Uint32(f.buf[f.start+1:]))
	if length < 4 || length > 1<<31 {
		return 0, nil, 0, fmt.Errorf("the server sent a message of %d bytes", length)
	}
	if length > maxMessage {
		cut = length - maxMessage
		length = maxMessage
	}
	if err := f.fill(1 + length); err != nil {
		return 0, nil, 0, err
	}
	kind, content = f.buf[f.start], f.buf[f.start+frameHeader:f.start+1+length]
	f.start += 1 + length
	if cut > 0 {
		err = f.discard(cut, content)
	}
	return kind, content, cut, err
}

// fill waits until n bytes are there.
func (f *framer) fill(n int) error {
	if f.end-f.start >= n {
		return nil
	}
	switch {
	case n > len(f.buf) || f.start == f.end && len(f.buf) > bufferSize && n <= bufferSize:
		// A large buffer is given up again when it is empty.
		larger := make([]byte, max(bufferSize, n))
		f.end = copy(larger, f.buf[f.start:f.end])
		f.buf, f.start = larger, 0
	case f.start+n > len(f.buf) || f.start == f.end:
		f.end = copy(f.buf, f.buf[f.start:f.end])
		f.start = 0
	}
	for f.end-f.start < n {
		got, err := f.from.Read(f.buf[f.end:])
		f.end += got
		if err != nil && f.end-f.start < n {
			return err
		}
	}
	return nil
}

// discard reads past n bytes and leaves content, which lies in the buffer, as it is.
func (f *framer) discard(n int, content []byte) error {
	skip := min(n, f.end-f.start)
	f.start += skip
	if n -= skip; n > 0 {
		_, err := io.CopyN(io.Discard, f.from, int64(n))
		return err
	}
	return nil
}
