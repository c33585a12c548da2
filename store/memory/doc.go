// Package memory is a store in memory, for tests: outbox, relay source, inbox,
// parked messages, sagas, timers, commands, replies and their administration,
// with transactions that roll back. Nothing outlives the process.
//
// A transaction ([Tx]) keeps what it writes to itself until it commits, all at
// once. What it reads or writes it also locks until it ends, so transactions
// are serializable, except that loading a saga locks nothing: saving it says
// whether another transaction has changed it. Two that wait for each other are noticed, and one of them
// gets an error matching [ErrDeadlock], which is transient. Positions in the
// outbox are handed out before the commit, as databases do, so they may commit
// out of order and have holes.
//
// Tests keep the effects of their handlers in the same transactions with
// [Tx.Get] and [Tx.Put]:
//
//	db := memory.New()
//	err := db.InTx(ctx, func(ctx context.Context, tx *memory.Tx) error {
//		if err := tx.Put(ctx, "order/1", "PENDING"); err != nil {
//			return err
//		}
//		return db.Outbox().Append(ctx, tx, message)
//	})
package memory
