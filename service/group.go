package service

import (
	"context"
	"fmt"
	"slices"
	"sync"
)

// group is parts that are started and stopped together.
type group struct {
	ctx    context.Context // ends when the parts are to stop
	cancel context.CancelFunc
	fail   context.CancelCauseFunc

	mu      sync.Mutex
	running []string
	done    sync.WaitGroup
}

// newGroup makes a group whose parts report failures to fail.
func newGroup(ctx context.Context, fail context.CancelCauseFunc) *group {
	ctx, cancel := context.WithCancel(ctx)
	return &group{ctx: ctx, cancel: cancel, fail: fail}
}

func (g *group) start(parts []Component) {
	for _, part := range parts {
		g.mu.Lock()
		g.running = append(g.running, part.Name())
		g.mu.Unlock()
		g.done.Go(func() {
			err := part.Run(g.ctx)
			g.mu.Lock()
			i := slices.Index(g.running, part.Name())
			g.running = slices.Delete(g.running, i, i+1)
			g.mu.Unlock()
			switch {
			case err != nil:
				g.fail(fmt.Errorf("%s: %w", part.Name(), err))
			case g.ctx.Err() == nil:
				g.fail(fmt.Errorf("%s: ended by itself", part.Name()))
			}
		})
	}
}

// stop tells the parts to stop and waits for them until limit is done; it
// returns the names of those that still run then.
func (g *group) stop(limit context.Context) []string {
	g.cancel()
	finished := make(chan struct{})
	go func() {
		g.done.Wait()
		close(finished)
	}()
	select {
	case <-finished:
		return nil
	case <-limit.Done():
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.running)
}
