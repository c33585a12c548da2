// Package wait asks again until something holds: for programs that watch others
// from outside, as benchmarks and soaks do.
package wait

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// For asks, at once and then after every pause, until the answer is nil. After
// limit it returns an error that wraps the last answer; when ctx is done, one that wraps both.
func For(ctx context.Context, limit, pause time.Duration, ask func() error) error {
	deadline := time.Now().Add(limit)
	for {
		err := ask()
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("still after %s: %w", limit, err)
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-time.After(pause):
		}
	}
}
