package sqlstore

import (
	"sync/atomic"
	"time"
)

// A Recheck repeats a check that passes nearly always, but not more often than
// once in so long.
type Recheck struct {
	passed atomic.Int64 // when it last began and passed; nanoseconds since 1970
}

// Do returns nil if the check has passed less than every ago, and else what the
// check returns. Several goroutines may run it at the same time.
func (r *Recheck) Do(every time.Duration, check func() error) error {
	now := time.Now().UnixNano()
	if passed := r.passed.Load(); now >= passed && now-passed < int64(every) {
		return nil
	}
	if err := check(); err != nil {
		r.passed.Store(0)
		return err
	}
	r.passed.Store(now)
	return nil
}
