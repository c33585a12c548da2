package timer

import (
	"context"
	"math/rand/v2"
	"time"
)

// backoff gives waits that double from first to max, each shortened by chance
// by up to a half, so that runners that met once do not meet again.
type backoff struct{ first, max, current time.Duration }

func (b *backoff) reset() { b.current = 0 }

func (b *backoff) next() time.Duration {
	b.current = min(max(2*b.current, b.first), b.max)
	return b.current/2 + rand.N(b.current/2+1)
}

// sleep waits for d, for a value from wake, or until ctx is done. A nil wake never comes.
func sleep(ctx context.Context, d time.Duration, wake <-chan struct{}) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-wake:
	case <-timer.C:
	}
}
