package memory_test

import (
	"context"
	"encoding/json"
	"testing"

	"tidings.example/store/memory"
	"tidings.example/store/storetest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	storetest.Run(t, storetest.Harness[*memory.Tx]{Open: func(*testing.T) storetest.DB[*memory.Tx] {
		db := memory.New()
		return storetest.DB[*memory.Tx]{
			Outbox: db.Outbox(), Inbox: db.Inbox(), Relay: db.Relay, Admin: db.Admin(),
			Sagas: db.Sagas(), Timers: db.Timers(), Commands: db.Commands(), Replies: db.Replies(), Operator: db.Admin(),
			Begin:    func(context.Context) (*memory.Tx, error) { return db.Begin(), nil },
			Commit:   func(_ context.Context, tx *memory.Tx) error { return tx.Commit() },
			Rollback: func(_ context.Context, tx *memory.Tx) error { tx.Rollback(); return nil },
			Audit: func(context.Context) ([]storetest.Audit, error) {
				var all []storetest.Audit
				for _, a := range db.Admin().Audit() {
					detail := []byte(a.Detail)
					if a.Was != nil {
						var err error
						if detail, err = json.Marshal(a.Was); err != nil {
							return nil, err
						}
					}
					all = append(all, storetest.Audit{Actor: a.Actor, Action: a.Did, Target: a.Target, Reason: a.Reason, Detail: string(detail)})
				}
				return all, nil
			},
		}
	}})
}
