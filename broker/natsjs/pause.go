package natsjs

import (
	"context"
	"math/rand/v2"
	"time"
)

// backoff is the time before the next attempt, from 50 ms up to 2 s, with up to
// a quarter more at random, so that many who lost the same server do not come
// back together.
func backoff(attempt int) time.Duration {
	d := min(50*time.Millisecond<<min(attempt, 6), 2*time.Second)
	return d + rand.N(d/4)
}

// pause waits before the next attempt. It ends early when early is closed. It
// returns an error if ctx is done.
func pause(ctx context.Context, attempt int, early <-chan struct{}) error {
	timer := time.NewTimer(backoff(attempt))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-early:
	case <-ctx.Done():
	}
	return ctx.Err()
}
