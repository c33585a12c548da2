package service

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
)

// group is parts that are started and stopped together.
type group struct {
	ctx    context.Context // ends when the parts are to stop
	cancel context.CancelFunc
	fail   context.CancelCauseFunc

	mu       sync.Mutex
	running  []string
	failures []error // of parts, in the order in which they ended
	done     sync.WaitGroup
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
			g.ended(part.Name(), part.Run(g.ctx))
		})
	}
}

// ended notes that a part has ended; before the group is stopped that is a failure.
func (g *group) ended(name string, err error) {
	if err == nil && g.ctx.Err() == nil {
		err = errors.New("ended by itself")
	}
	g.mu.Lock()
	i := slices.Index(g.running, name)
	g.running = slices.Delete(g.running, i, i+1)
	if err != nil {
		err = fmt.Errorf("%s: %w", name, err)
		g.failures = append(g.failures, err)
	}
	g.mu.Unlock()
	if err != nil {
		g.fail(err)
	}
}

// stop tells the parts to stop and waits for them until limit is done; it
// returns what failed, then or before, and the names of those that still run.
func (g *group) stop(limit context.Context) (failures []error, unfinished []string) {
	g.cancel()
	finished := make(chan struct{})
	go func() {
		g.done.Wait()
		close(finished)
	}()
	select {
	case <-finished:
	case <-limit.Done():
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.failures), slices.Clone(g.running)
}
