package relay

import (
	"context"
	"strings"
	"unicode/utf8"

	"tidings.example"
)

// reasonBehind is why a row is set aside that has nothing wrong itself.
const reasonBehind = "waits behind an earlier row of its key"

// sort makes a plan of the rows that can be published; the others are set
// aside, and so is what comes behind them under the same key.
func (l *poller) sort(ctx context.Context, rows []Row, c *Change) *inflight {
	if len(rows) == 0 {
		return nil
	}
	plan := &inflight{positions: make([]int64, 0, len(rows)), messages: make([]*tidings.Message, 0, len(rows))}
	for i := range rows {
		row := &rows[i]
		m := &row.Message
		if reason, _ := l.refuse(ctx, row); reason != "" {
			key := HeldKey{Channel: m.Channel, Key: m.Key}
			c.SetAside = append(c.SetAside, SetAside{Position: row.Position, Key: key, Reason: clean(reason)})
			l.holds.hold(key)
			continue
		}
		plan.positions = append(plan.positions, row.Position)
		plan.messages = append(plan.messages, m)
		plan.bytes += len(m.Payload)
	}
	if len(plan.messages) == 0 {
		return nil
	}
	l.nextPlan++
	plan.id = l.nextPlan
	c.Plan = &Plan{ID: plan.id, Positions: EncodePositions(plan.positions)}
	return plan
}

// refuse numbers the row's message, or says why it cannot be published, and
// whether it is the broker that refuses it.
func (l *leader) refuse(ctx context.Context, row *Row) (reason string, byBroker bool) {
	return l.refuseBut(ctx, row, l.holds.holding)
}

// refuseAside does the same for a row that is set aside, and that waits for
// nobody.
func (l *leader) refuseAside(ctx context.Context, row *Row) (reason string) {
	reason, _ = l.refuseBut(ctx, row, func(*tidings.Message) bool { return false })
	return reason
}

func (l *leader) refuseBut(ctx context.Context, row *Row, holding func(*tidings.Message) bool) (reason string, byBroker bool) {
	if row.Err != nil {
		return row.Err.Error(), false
	}
	if err := row.Message.Validate(); err != nil {
		return err.Error(), false
	}
	if holding(&row.Message) {
		return reasonBehind, false
	}
	l.numbering.stamp(&row.Message)
	if err := l.cfg.Broker.Check(ctx, &row.Message); err != nil {
		l.numbering.unstamp(&row.Message)
		return err.Error(), true
	}
	return "", false
}

// setAside tells people of rows that were set aside.
func (l *leader) setAside(rows []SetAside) {
	if len(rows) == 0 {
		return
	}
	l.holds.changed()
	for _, s := range rows {
		log := l.cfg.Logger.Error
		if s.Reason == reasonBehind {
			log = l.cfg.Logger.Info
		}
		log("outbox row set aside", "source", l.cfg.Source.Name(), "position", s.Position,
			"channel", s.Key.Channel, "key", s.Key.Key, "reason", s.Reason)
		l.cfg.Observer.SetAside(s)
	}
}

// maxReason bounds what is stored as a reason, in bytes.
const maxReason = 1000

// clean makes one line of text of a reason that any database stores: a reason
// that cannot be stored would stop all rows instead of one.
func clean(reason string) string {
	if len(reason) > maxReason {
		cut := maxReason
		for cut > maxReason-utf8.UTFMax && !utf8.RuneStart(reason[cut]) {
			cut--
		}
		reason = reason[:cut]
	}
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, reason)
}
