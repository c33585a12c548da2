package binlog

import (
	"net"
	"sync"

	"tidings.example/relay"
)

// An entry is what the reader hands over: rows of one transaction, or that a place
// is reached.
type entry struct {
	rows []relay.Row
	size int // of the rows in memory
	// reached is set where these are no rows: all rows before are of transactions
	// that end here, and these transactions are executed.
	reached bool
	gtid    gtid
	file    string
	at      int64
	created int64 // the file
	columns layouts
	// micros is when it was committed, in microseconds since 1970.
	micros int64
	// log is how many bytes of log the reader has seen.
	log int64
	// more transactions that are executed here, which do not fit into gtid.
	more []gtid
}

// merge adds a later place to an entry that nobody has taken yet, if it can.
func (e *entry) merge(later *entry) {
	g := later.gtid
	switch {
	case g.last == 0:
	case e.gtid.last == 0:
		e.gtid = g
	case e.gtid.joins(&g):
		e.gtid.server, e.gtid.last = g.server, g.last
	default:
		joined := false
		for i := range e.more {
			if e.more[i].joins(&g) {
				e.more[i].server, e.more[i].last, joined = g.server, g.last, true
				break
			}
		}
		if !joined {
			e.more = append(e.more, g)
		}
	}
	e.more = append(e.more, later.more...)
	e.file, e.at, e.created, e.columns, e.micros, e.log = later.file, later.at, later.created, later.columns, later.micros, later.log
}

// buffer holds what was read and not taken yet, up to a number of bytes.
type buffer struct {
	mu      sync.Mutex
	entries []entry
	taken   int // so many from the front are taken
	rows    int // rows in those that are not
	size    int
	limit   int
	err     error
	closed  bool
	ready   chan struct{} // holds a token after entries have come, or an error
	space   chan struct{} // holds a token after entries were taken
}

// bufferBytes bounds what waits for the relay. What is put at once may be larger.
const bufferBytes = 2 << 20

func newBuffer() *buffer {
	return &buffer{limit: bufferBytes, ready: make(chan struct{}, 1), space: make(chan struct{}, 1)}
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// put adds entries, and waits while there is no room. The rows are the buffer's
// from then on.
func (b *buffer) put(entries ...entry) error {
	size := 0
	for i := range entries {
		size += entries[i].size
	}
	b.mu.Lock()
	for b.size > 0 && size > 0 && b.size+size > b.limit && !b.closed {
		b.mu.Unlock()
		<-b.space
		b.mu.Lock()
	}
	defer b.mu.Unlock()
	if b.closed {
		return net.ErrClosed
	}
	for i := range entries {
		if n := len(b.entries); entries[i].reached && n > b.taken && b.entries[n-1].reached {
			b.entries[n-1].merge(&entries[i])
			continue
		}
		b.entries = append(b.entries, entries[i])
		b.rows += len(entries[i].rows)
	}
	b.size += size
	poke(b.ready)
	return nil
}

// fail ends the buffer: what is in it can still be taken.
func (b *buffer) fail(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		b.err = err
	}
	poke(b.ready)
}

// hasRows tells whether rows can be taken.
func (b *buffer) hasRows() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.rows > 0
}

// close wakes whoever waits.
func (b *buffer) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	poke(b.space)
}

// take calls fn for entries from the front, as long as it returns true; the one
// for which it returns false stays, with the rows that fn has left in it. rows is how many there
// are before. It returns the error that ended the reading, once all is taken.
func (b *buffer) take(fn func(e *entry, rows int) bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	size := b.size
	for more := true; more && b.taken < len(b.entries); {
		e := &b.entries[b.taken]
		rows, bytes := len(e.rows), e.size
		more = fn(e, b.rows)
		if more {
			e.size, e.rows = 0, nil
		}
		b.rows -= rows - len(e.rows)
		b.size -= bytes - e.size
		if more {
			*e = entry{}
			b.taken++
		}
	}
	if b.size < size {
		poke(b.space)
	}
	if b.taken == len(b.entries) || b.taken > 10_000 {
		b.entries = b.entries[:copy(b.entries, b.entries[b.taken:])]
		b.taken = 0
	}
	if len(b.entries) == 0 {
		return b.err
	}
	return nil
}
