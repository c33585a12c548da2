package relay

import (
	"fmt"
	"time"

	"tidings.example"
)

// A trail is what a relay knows of its way through the log: which rows it has
// read, up to where all is done, and what an earlier relay has decided. Rows are
// counted as they come; the count begins at the checkpoint.
type trail struct {
	position []byte // all before it is done
	done     int64  // the number of the last row before position
	read     int64  // the number of the last row that was read

	aside     []int64 // rows behind done that are set aside: see kept
	replay    []int64 // those of an earlier relay that are still to be met
	published *published
	tableless time.Time
}

// A piece is a batch of the log on its way.
type piece struct {
	rows  []Row
	end   []byte
	last  int64 // the number of its last row
	floor int64
	// holes are messages of set-aside rows that keep the number they may have
	// been published with.
	holes []*tidings.Message
}

// A turn is what becomes of a row that was read.
type turn int

const (
	// rowNew is a row that nobody has decided about.
	rowNew turn = iota
	// rowAgain was published by an earlier relay, or may have been.
	rowAgain
	// rowAside was set aside by an earlier relay, and has no number.
	rowAside
	// rowKept was set aside too, but keeps its number.
	rowKept
)

func newTrail(c Checkpoint) (*trail, error) {
	t := &trail{position: c.Position, tableless: c.Tableless}
	var err error
	if t.published, err = newPublished(c.Published); err != nil {
		return nil, fmt.Errorf("published rows of the checkpoint: %w", err)
	}
	if len(c.Aside) == 0 {
		return t, nil
	}
	if t.aside, err = DecodePositions(c.Aside); err != nil {
		return nil, fmt.Errorf("set-aside rows of the checkpoint: %w", err)
	}
	last := int64(0)
	for _, n := range t.aside {
		if magnitude(n) <= last {
			return nil, fmt.Errorf("set-aside rows of the checkpoint: %w: %d follows %d", ErrCorrupt, n, last)
		}
		last = magnitude(n)
	}
	t.replay = t.aside
	return t, nil
}

func magnitude(n int64) int64 { return max(n, -n) }

// next counts a row, and says what becomes of it. Before the last row that an
// earlier relay has set aside, all that it has not set aside it has published,
// or was free to.
func (t *trail) next() turn {
	t.read++
	if len(t.replay) == 0 {
		return rowNew
	}
	n := t.replay[0]
	if magnitude(n) != t.read {
		return rowAgain
	}
	t.replay = t.replay[1:]
	if n < 0 {
		return rowKept
	}
	return rowAside
}

// setAside notes that the row that was read last is set aside. kept says that
// its number counts, as it may have been published with it.
func (t *trail) setAside(position int64, kept bool) {
	n := t.read
	if kept {
		n = -n
	}
	t.aside = append(t.aside, n)
	if position != 0 {
		t.published.add(position)
	}
}

// complete notes that all rows of the next piece are done.
func (t *trail) complete(p *piece) {
	t.position, t.done = p.end, p.last
	n := 0
	for n < len(t.aside) && magnitude(t.aside[n]) <= t.done {
		n++
	}
	t.aside = t.aside[n:]
	for i := range p.rows {
		if at := p.rows[i].Position; at != 0 {
			t.published.add(at)
		}
	}
	if p.floor != 0 {
		t.published.floor(p.floor)
	}
}

// checkpoint returns what to save now.
func (t *trail) checkpoint() Checkpoint {
	c := Checkpoint{Position: t.position, Published: t.published.encode(), Tableless: t.tableless}
	if len(t.aside) > 0 {
		offsets := make([]int64, len(t.aside))
		for i, n := range t.aside {
			offsets[i] = n - t.done
			if n < 0 {
				offsets[i] = n + t.done
			}
		}
		c.Aside = EncodePositions(offsets)
	}
	return c
}
