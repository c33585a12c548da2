package kafka

import (
	"context"
	"sync"
)

// Bounds on what is on its way to the cluster, over all topics. They are far
// above what is on its way at full speed, and keep a relay small while the
// cluster is away.
const (
	maxRecords = 8192
	maxBytes   = 8 << 20
)

// A budget bounds the records and bytes that are on their way. One record
// larger than the bound passes alone.
type budget struct {
	mu      sync.Mutex
	records int
	bytes   int
	// freed is closed when there is room again; nil while nobody waits.
	freed chan struct{}
}

// take waits until a record of this size may go, or ctx is done.
func (b *budget) take(ctx context.Context, size int) error {
	b.mu.Lock()
	for b.records >= maxRecords || b.bytes > 0 && b.bytes+size > maxBytes {
		if b.freed == nil {
			b.freed = make(chan struct{})
		}
		freed := b.freed
		b.mu.Unlock()
		select {
		case <-freed:
		case <-ctx.Done():
			return ctx.Err()
		}
		b.mu.Lock()
	}
	b.records++
	b.bytes += size
	b.mu.Unlock()
	return nil
}

// give returns what was taken. Waiters are woken only once a quarter is free:
// woken for every record they would send batches of one.
func (b *budget) give(size int) {
	b.mu.Lock()
	b.records--
	b.bytes -= size
	if b.freed != nil && b.records <= maxRecords*3/4 && b.bytes <= maxBytes*3/4 {
		close(b.freed)
		b.freed = nil
	}
	b.mu.Unlock()
}
