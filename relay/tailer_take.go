package relay

import (
	"context"
	"fmt"
	"time"

	"tidings.example"
)

// A renumberError says that the numbers of an earlier relay cannot be given
// again; the next leader opens a new epoch at the checkpoint.
type renumberError struct{ reason string }

func (e *renumberError) Error() string { return e.reason }

// takeUp numbers the rows of a batch and hands them over. Rows that cannot be
// published are set aside, which must be durable before anything behind them in
// their lanes is published: it has a number that depends on that.
func (t *tailer) takeUp(publishing context.Context, b LogBatch) error {
	t.heard, t.committed = time.Now(), b.Committed
	p := &inflight{messages: make([]*tidings.Message, 0, len(b.Rows))}
	var aside []SetAside
	for i := range b.Rows {
		row := &b.Rows[i]
		if row.Position == 0 {
			t.trail.tableless = t.heard
		}
		s, err := t.takeRow(publishing, row, p)
		if err != nil {
			return err
		}
		if s != nil {
			aside = append(aside, *s)
		}
	}
	p.piece.rows, p.piece.end, p.piece.last, p.piece.floor = b.Rows, b.End, t.trail.read, b.Floor
	if len(aside) > 0 {
		if err := t.commit(publishing, Change{SetAside: aside}); err != nil {
			return err
		}
		t.setAside(aside)
	}
	t.window.add(p)
	t.tell(len(aside))
	if len(p.messages) == 0 {
		return nil
	}
	return t.publish(publishing, p)
}

// takeRow decides about one row: it goes out with p, or is set aside, or was set
// aside by an earlier relay.
func (t *tailer) takeRow(ctx context.Context, row *Row, p *inflight) (*SetAside, error) {
	m := &row.Message
	kept := false
	turn := t.trail.next()
	switch turn {
	case rowAside:
		return nil, nil
	case rowNew:
		reason, refused := t.refuse(ctx, row)
		if reason == "" {
			p.take(m)
			return nil, nil
		}
		// The broker may have taken before what it refuses now.
		kept = refused && !t.isSure()
		if kept {
			t.numbering.stamp(m)
			p.piece.holes = append(p.piece.holes, m)
		}
		key := HeldKey{Channel: m.Channel, Key: m.Key}
		t.holds.hold(key)
		t.trail.setAside(row.Position, kept)
		return &SetAside{Position: row.Position, Key: key, Reason: clean(reason), Row: row}, nil
	}
	if row.Err != nil {
		return nil, &renumberError{fmt.Sprintf("a row that an earlier relay could read cannot be read any more: %v", row.Err)}
	}
	t.numbering.stamp(m)
	if turn == rowKept {
		p.piece.holes = append(p.piece.holes, m)
		return nil, nil
	}
	p.repeated = true
	p.take(m)
	return nil, nil
}

// take adds a message that was numbered.
func (p *inflight) take(m *tidings.Message) {
	p.messages = append(p.messages, m)
	p.bytes += len(m.Payload)
}
