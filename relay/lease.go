package relay

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// errExpired means that the lease has run out by this relay's own clock: the
// database was away too long, or the process was stopped and woke up.
var errExpired = errors.New("the lease ran out before it could be renewed; another relay may hold it")

// lease knows until when this relay may publish, and renews it.
type lease struct {
	session Session
	ttl     time.Duration
	end     *time.Timer // ends the work when the lease runs out

	mu       sync.Mutex
	deadline time.Time
	held     []HeldKey
	reading  Reading   // where an operator wants rows to be read from
	asked    time.Time // when held was asked for
	news     bool
	signal   chan struct{} // after each renewal
}

// acquireTimeout is how long taking the lease may take at least: it may need
// connections, to a server that is busy.
const acquireTimeout = 5 * time.Second

// acquire takes the lease. It also returns when it was asked for.
func (r *Relay) acquire(ctx context.Context) (Session, State, time.Time, error) {
	ttl := r.cfg.LeaseTTL
	ctx, cancel := context.WithTimeout(ctx, max(2*ttl, acquireTimeout))
	defer cancel()
	asked := time.Now()
	session, state, err := r.cfg.Source.Acquire(ctx, r.cfg.Holder, ttl)
	if err != nil {
		return nil, State{}, asked, err
	}
	if time.Since(asked) > ttl/3 {
		// Much of the lease is over, or all of it, before anything was done.
		asked = time.Now()
		renewal, err := session.Renew(ctx)
		if err != nil {
			_ = r.release(ctx, session) // if that fails too, the lease runs out
			return nil, State{}, asked, err
		}
		state.Held, state.Asked = renewal.Held, renewal.Asked
	}
	return session, state, asked, nil
}

func (r *Relay) release(ctx context.Context, session Session) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.cfg.LeaseTTL)
	defer cancel()
	if err := session.Release(ctx); err != nil {
		return fmt.Errorf("release lease: %w", err)
	}
	return nil
}

// lead takes the lease and publishes until ctx is done or the lease is lost.
func (r *Relay) lead(ctx context.Context, wait *backoff) error {
	session, state, asked, err := r.acquire(ctx)
	if err != nil {
		return err
	}
	// Work goes on for a while after ctx is done, so it has a context of its own.
	work, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	// The lease runs from when the database wrote it, which is not before it
	// was asked for: by this clock it ends no later than by the database's.
	l := &lease{session: session, ttl: r.cfg.LeaseTTL, signal: make(chan struct{}, 1), end: time.AfterFunc(r.cfg.LeaseTTL, func() { cancel(errExpired) })}
	l.extend(asked, Renewal{Held: state.Held, Asked: state.Asked})
	renewed := make(chan struct{})
	go func() {
		defer close(renewed)
		l.renew(work, cancel)
	}()
	err = newLeader(r, session, l, wait).run(ctx, work, state)
	if again, ok := errors.AsType[*renumberError](err); ok {
		r.renumber = again.reason
	} else {
		r.renumber = ""
	}
	if errors.Is(err, errSwitched) {
		r.wish = "" // carried out, or overruled by an operator
	}
	if cause := context.Cause(work); cause != nil {
		err = cause
	}
	l.end.Stop()
	cancel(nil)
	<-renewed
	if e := r.release(ctx, session); err == nil {
		err = e
	}
	return err
}

// renew extends the lease three times in its ttl until ctx is done. Being
// fenced cancels the work at once; other errors are tried again, as the lease may
// still be ours, until it runs out.
func (l *lease) renew(ctx context.Context, cancel context.CancelCauseFunc) {
	ticker := time.NewTicker(l.ttl / 3)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		asked := time.Now()
		attempt, stop := context.WithTimeout(ctx, l.ttl/2) // so that another one fits in
		renewal, err := l.session.Renew(attempt)
		stop()
		switch {
		case err == nil:
			l.extend(asked, renewal)
		case errors.Is(err, ErrFenced):
			cancel(err)
			return
		}
	}
}

func (l *lease) extend(asked time.Time, r Renewal) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.deadline, l.held, l.reading, l.asked, l.news = asked.Add(l.ttl), r.Held, r.Asked, asked, true
	l.end.Reset(time.Until(l.deadline))
	select {
	case l.signal <- struct{}{}:
	default:
	}
}

// wish returns where an operator wants rows to be read from; empty if nobody
// has asked.
func (l *lease) wish() Reading {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.reading
}

// check returns errExpired once the lease has run out by this clock, which goes
// on while the process is stopped.
func (l *lease) check() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !time.Now().Before(l.deadline) {
		return errExpired
	}
	return nil
}

// holds returns the held keys of the last renewal, and when it was asked for;
// news is set the first time.
func (l *lease) holds() (held []HeldKey, asked time.Time, news bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	news, l.news = l.news, false
	return l.held, l.asked, news
}
