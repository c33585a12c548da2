package relay

import (
	"context"
	"fmt"
)

// before reads the rows that were committed before a fresh start of the log, as
// one snapshot has them: each once, without those that are known to be
// published.
type before struct {
	log       Log
	published *published
	// taken are rows of plans that are published by their plans: the
	// snapshot has them even after they are removed.
	taken map[int64]struct{}
	after int64
	over  bool // all were read
	// reason, if not empty, is why the log begins a new epoch.
	reason string
}

func newBefore(log Log, p *published) *before {
	return &before{log: log, published: p, taken: map[int64]struct{}{}, after: lowest}
}

func (b *before) take(positions []int64) {
	for _, p := range positions {
		b.taken[p] = struct{}{}
	}
}

func (b *before) read(ctx context.Context, limit, bytes int) ([]Row, error) {
	if b.over {
		return nil, nil
	}
	rows, err := b.log.Before(ctx, Query{After: b.after, Limit: limit, Bytes: bytes})
	if err != nil {
		return nil, fmt.Errorf("read what was committed before the log began: %w", err)
	}
	b.over = len(rows) == 0
	fresh := rows[:0]
	for i := range rows {
		b.after = max(b.after, rows[i].Position)
		if _, taken := b.taken[rows[i].Position]; !taken && !b.published.has(rows[i].Position) {
			fresh = append(fresh, rows[i])
		}
	}
	return fresh, nil
}
