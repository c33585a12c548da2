package natsjs

import (
	"context"
	"sync"
	"time"
)

// changes tells of every change of a connection, to lost or to back again.
type changes struct {
	mu   sync.Mutex
	next context.Context // ends with the next change
	end  context.CancelFunc
}

func newChanges() *changes {
	c := &changes{}
	c.next, c.end = context.WithCancel(context.Background())
	return c
}

// send tells of a change.
func (c *changes) send() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.end()
	c.next, c.end = context.WithCancel(context.Background())
}

func (c *changes) current() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.next
}

// wait returns a channel that is closed by the next change.
func (c *changes) wait() <-chan struct{} { return c.current().Done() }

const (
	// requestTime bounds a single question to the server.
	requestTime = 5 * time.Second
	// operationTime bounds one change of a bucket, so that a server that does
	// not answer cannot hold up the beats for long.
	operationTime = time.Second
)

// bound returns a context for one request: it ends with ctx, after d, and with
// the next change of the connection, since no answer will come any more then.
func (c *changes) bound(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, d)
	stop := context.AfterFunc(c.current(), cancel)
	return ctx, func() { stop(); cancel() }
}

// operation returns a context for one change of a bucket. It does not end with
// ctx: positions are stored after a subscription was asked to stop.
func (c *changes) operation(ctx context.Context) (context.Context, context.CancelFunc) {
	return c.bound(context.WithoutCancel(ctx), operationTime)
}
