package relay

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"
)

// bookLog is the commit log of a book. A position is the number of entries
// before it.
type bookLog struct {
	log   []entry
	grown chan struct{}  // closed when the log has grown
	open  map[int64]bool // positions that were handed out and not committed

	slot      bool  // the log is kept
	cut       int   // who reads from before this entry cannot go on behind it; 0 if nowhere
	reader    int64 // the fence of who reads it
	confirmed int   // entries below are forgotten

	reading, asked Reading
	checkpoint     Checkpoint
	asideOrder     []int64
	confirms       int
	lags           int
}

// An entry is one row, or something that is none of the outbox's.
type entry struct {
	row     Row
	foreign bool
	at      time.Time
}

func newBookLog() bookLog {
	return bookLog{grown: make(chan struct{}), open: map[int64]bool{}}
}

// write adds rows to the log in one transaction. b.mu is held.
func (l *bookLog) write(rows ...Row) {
	for _, r := range rows {
		l.log = append(l.log, entry{row: r, at: time.Now()})
	}
	close(l.grown)
	l.grown = make(chan struct{})
}

// tableless commits rows that are only in the log.
func (b *book) tableless(rows ...Row) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range rows {
		delete(b.open, rows[i].Position)
		rows[i].Position = 0
	}
	b.write(rows...)
}

// foreign writes n entries that are none of the outbox's.
func (b *book) foreign(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for range n {
		b.log = append(b.log, entry{foreign: true, at: time.Now()})
	}
	b.write()
}

// ask is an operator's wish.
func (b *book) ask(to Reading) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked = to
}

func (b *book) nobodyAsks() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.asked == ""
}

// lose makes the database forget its log.
func (b *book) lose() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.slot, b.reader = false, 0
}

// tear makes the log unreadable over this place, though not what is before it.
func (b *book) tear() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.cut = len(b.log)
	b.write()
}

// saved is the number of entries before the checkpoint, -1 without one.
func (b *book) saved() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.savedNow()
}

func (b *book) savedNow() int {
	if len(b.checkpoint.Position) == 0 {
		return -1
	}
	n, err := strconv.Atoi(string(b.checkpoint.Position))
	if err != nil {
		panic(err)
	}
	return n
}

// settled tells whether nothing is left to publish, but for set-aside rows.
func (b *book) settled() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.asked != "" && b.asked != b.readingNow() {
		return false
	}
	if b.readingNow() == FromTable {
		return len(b.rows) == 0
	}
	at := b.savedNow()
	return at >= 0 && len(b.plans) == 0 && !slices.ContainsFunc(b.log[at:], func(e entry) bool { return !e.foreign })
}

func (b *book) readingNow() Reading {
	if b.reading == "" {
		return FromTable
	}
	return b.reading
}

func (b *book) moveAside(s SetAside) {
	row := b.rows[s.Position]
	if s.Row != nil {
		row = *s.Row
	} else {
		delete(b.rows, s.Position)
	}
	if row.Position == 0 {
		b.next++
		row.Position = b.next
	}
	b.aside[row.Position] = row
	b.asideOrder = slices.DeleteFunc(b.asideOrder, func(p int64) bool { return p == row.Position })
	b.asideOrder = append(b.asideOrder, row.Position)
}

func (b *book) allowsLog(c Change) error {
	for _, p := range c.DoneAside {
		if _, there := b.aside[p]; !there {
			return fmt.Errorf("set-aside row %d is removed and not there", p)
		}
	}
	if c.Log != nil && len(c.Log.Position) > 0 && b.savedNow() >= 0 && b.slot {
		if n, err := strconv.Atoi(string(c.Log.Position)); err != nil || n < b.savedNow() {
			return fmt.Errorf("the position goes back from %d to %q", b.savedNow(), c.Log.Position)
		}
	}
	if c.Log != nil && len(c.Log.Aside) > 0 && b.savedNow() < 0 {
		return errors.New("rows of the log are set aside before the first checkpoint")
	}
	return nil
}

func (b *book) applyLog(c Change) {
	for _, p := range c.DoneAside {
		row := b.aside[p]
		delete(b.aside, p)
		key := HeldKey{Channel: row.Message.Channel, Key: row.Message.Key}
		others := func(r Row) bool { return r.Message.Channel == key.Channel && r.Message.Key == key.Key }
		if !slices.ContainsFunc(slices.Collect(maps.Values(b.aside)), others) {
			delete(b.held, key)
		}
	}
	for _, s := range c.KeepAside {
		b.held[HeldKey{Channel: s.Key.Channel, Key: s.Key.Key}] = false
	}
	if c.Log != nil {
		b.checkpoint = *c.Log
	}
	if c.Reading == "" {
		return
	}
	if c.Reading == FromTable {
		b.forget()
		b.checkpoint = Checkpoint{}
	}
	b.reading, b.asked = c.Reading, ""
}

// forget removes from the table what the checkpoint counts as published.
func (b *book) forget() {
	if len(b.checkpoint.Published) == 0 {
		return
	}
	set, err := DecodePositionSet(b.checkpoint.Published)
	if err != nil {
		b.wrong = append(b.wrong, err)
	}
	maps.DeleteFunc(b.rows, func(p int64, _ Row) bool { return set.Has(p) })
}

// floor is below what may still come behind the entry. b.mu is held.
func (b *book) floor(at int) int64 {
	low := b.next + 1
	for p := range b.open {
		low = min(low, p)
	}
	for _, e := range b.log[at:] {
		if e.row.Position > 0 {
			low = min(low, e.row.Position)
		}
	}
	return low - 1
}
