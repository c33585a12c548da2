package relay

import (
	"slices"
	"time"

	"tidings.example"
)

// holds knows the keys with set-aside rows: later rows of them wait.
type holds struct {
	keys    map[HeldKey]bool
	retries []HeldKey // those that an operator wants tried again
	// since is when this relay last held or released a key.
	since time.Time
}

func newHolds() holds { return holds{keys: map[HeldKey]bool{}} }

func (h *holds) number() int { return len(h.keys) }

// holding tells whether m has to wait.
func (h *holds) holding(m *tidings.Message) bool {
	return len(h.keys) > 0 && h.keys[HeldKey{Channel: m.Channel, Key: m.Key}]
}

// hold makes later rows of the key wait. Rows without a key are in no order,
// and nothing waits behind them.
func (h *holds) hold(key HeldKey) {
	if key.Key != "" {
		h.keys[HeldKey{Channel: key.Channel, Key: key.Key}] = true
	}
}

// changed notes that this relay has just committed a change of what is held.
func (h *holds) changed() { h.since = time.Now() }

// release ends the hold of keys whose rows were given back.
func (h *holds) release(keys []HeldKey) {
	for _, key := range keys {
		delete(h.keys, HeldKey{Channel: key.Channel, Key: key.Key})
	}
	h.retries = nil
	h.changed()
}

// take learns from the lease's last renewal which keys are held and which of
// them to try again, and reports whether it did. An answer that was asked for
// before this relay's last change is too old to be believed: in it a key may be
// free that was held since. The next renewal brings another.
func (h *holds) take(l *lease) bool {
	held, asked, news := l.holds()
	if !news || !asked.After(h.since) {
		return false
	}
	clear(h.keys)
	h.retries = nil
	for _, key := range held {
		h.hold(key)
		if key.Retry {
			h.retries = append(h.retries, HeldKey{Channel: key.Channel, Key: key.Key})
		}
	}
	return true
}

// free ends the hold of a key of which nothing is set aside any more.
func (h *holds) free(key HeldKey) {
	delete(h.keys, HeldKey{Channel: key.Channel, Key: key.Key})
	h.keep(key)
}

// keep ends the wish to try a key again.
func (h *holds) keep(key HeldKey) {
	h.retries = slices.DeleteFunc(h.retries, func(k HeldKey) bool { return k == key })
	h.changed()
}
