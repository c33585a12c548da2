package relay

import (
	"context"
	"math/rand/v2"
	"time"
)

// backoff gives waits that double from 50 ms to a maximum, each shortened by
// chance by up to a half, so that relays that failed together do not come back
// together.
type backoff struct {
	current, max time.Duration
}

const firstBackoff = 50 * time.Millisecond

func newBackoff(limit time.Duration) *backoff {
	return &backoff{current: firstBackoff, max: limit}
}

func (b *backoff) reset() { b.current = firstBackoff }

func (b *backoff) next() time.Duration {
	d := min(b.current, b.max)
	b.current = min(2*b.current, b.max)
	return d/2 + rand.N(d/2+1)
}

// sleep waits for d or until ctx is done.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
