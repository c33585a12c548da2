package relay

import (
	"context"
	"errors"
	"sync"
)

// A proc is a relay process, with what ails it.
type proc struct {
	*seat
	stop func()

	mu            sync.Mutex
	thawed        chan struct{} // not nil while frozen
	before, after int           // operations to fail, before and after they take effect
}

// ail is what the process meets at each operation.
func (p *proc) ail(_ context.Context, operation string) error {
	p.frozen()
	p.mu.Lock()
	defer p.mu.Unlock()
	count := &p.before
	if len(operation) > 6 && operation[:6] == "after " {
		count = &p.after
	}
	if *count > 0 {
		*count--
		return errors.New("connection lost")
	}
	return nil
}

func (p *proc) frozen() {
	p.mu.Lock()
	thawed := p.thawed
	p.mu.Unlock()
	if thawed != nil {
		<-thawed
	}
}

func (p *proc) freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.thawed == nil {
		p.thawed = make(chan struct{})
	}
}

func (p *proc) thaw() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.thawed != nil {
		close(p.thawed)
		p.thawed = nil
	}
}
