package inbox

import "context"

// afterKey is the context's key of what is called after the commit.
type afterKey struct{}

// AfterCommit has f called once the transaction is committed in which the handler
// with this context works, for example to tell those who wait in this process. f
// must not block. It is never called for a transaction that is rolled back, nor if the
// process dies after the commit, so nothing may depend on it. AfterCommit
// reports false, and does nothing, where ctx is not that of an inbox's handler.
func AfterCommit(ctx context.Context, f func()) bool {
	after, ok := ctx.Value(afterKey{}).(*[]func())
	if ok {
		*after = append(*after, f)
	}
	return ok
}

// inTx runs fn in a transaction of the store, and then what fn asks for by AfterCommit.
func (r *run[Tx]) inTx(ctx context.Context, fn func(ctx context.Context, tx Tx) error) error {
	var after []func()
	err := r.cfg.Store.InTx(context.WithValue(ctx, afterKey{}, &after), func(ctx context.Context, tx Tx) error {
		after = after[:0] // the store may run fn again
		return fn(ctx, tx)
	})
	if err != nil {
		return err
	}
	for _, f := range after {
		f()
	}
	return nil
}
