package gateway

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"

	"tidings.example"
)

const (
	// kept is how many messages are kept for pages that open or come back.
	kept = 500
	// shownFirst is how many of them a page gets that opens.
	shownFirst = 50
	// waiting is how many messages may wait for one page.
	waiting = 256
)

// hub hands each message to every page that is open. It never waits for one: a
// page that does not keep up is cut off, comes back by itself, and gets what it
// missed.
type hub struct {
	// name begins the ids of this hub, so that a page that comes back after a
	// restart is known to have seen another numbering.
	name string

	mu    sync.Mutex
	last  uint64
	log   []entry // the last messages, in order
	pages map[*openPage]struct{}
}

// entry is one message with its number, as it is sent.
type entry struct {
	n    uint64
	text string
}

// openPage is one page that listens. messages is closed when it is cut off.
type openPage struct{ messages chan entry }

func newHub() *hub {
	return &hub{name: tidings.NewID(), pages: map[*openPage]struct{}{}}
}

func (h *hub) publish(s shown) {
	data, err := json.Marshal(s)
	if err != nil {
		return // cannot be: Data is valid JSON
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last++
	e := entry{h.last, fmt.Sprintf("id: %s/%d\nevent: message\ndata: %s\n\n", h.name, h.last, data)}
	if h.log = append(h.log, e); len(h.log) >= 2*kept {
		h.log = append(h.log[:0], h.log[len(h.log)-kept:]...)
	}
	for p := range h.pages {
		select {
		case p.messages <- e:
		default:
			h.remove(p)
		}
	}
}

// open adds a page. lastID is the id of the last message that it has seen, empty
// for a new one. before are the messages that it gets first.
func (h *hub) open(lastID string) (p *openPage, before []entry) {
	h.mu.Lock()
	defer h.mu.Unlock()
	p = &openPage{messages: make(chan entry, waiting)}
	h.pages[p] = struct{}{}
	return p, append(before, h.since(lastID)...)
}

func (h *hub) since(lastID string) []entry {
	all := h.log[max(0, len(h.log)-kept):]
	if number, ok := strings.CutPrefix(lastID, h.name+"/"); ok {
		var seen uint64
		if _, err := fmt.Sscan(number, &seen); err == nil {
			for len(all) > 0 && all[0].n <= seen {
				all = all[1:]
			}
			return all
		}
	}
	return all[max(0, len(all)-shownFirst):]
}

// close removes a page; it may have been cut off before.
func (h *hub) close(p *openPage) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.remove(p)
}

// remove cuts a page off. h.mu is held.
func (h *hub) remove(p *openPage) {
	if _, ok := h.pages[p]; ok {
		delete(h.pages, p)
		close(p.messages)
	}
}
