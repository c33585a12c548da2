package memory_test

import (
	"context"
	"strings"
	"testing"

	"tidings.example/inbox/inboxtest"
	"tidings.example/store/memory"
)

func TestInbox(t *testing.T) {
	t.Parallel()
	inboxtest.Run(t, func(*testing.T) inboxtest.Subject[*memory.Tx] {
		db := memory.New()
		return inboxtest.Subject[*memory.Tx]{
			Inbox: db.Inbox(),
			Admin: db.Admin(),
			Record: func(ctx context.Context, tx *memory.Tx, run, effect string) error {
				// A list for each run, so that all its handlers contend for one value.
				list, err := tx.Get(ctx, run)
				if err != nil {
					return err
				}
				return tx.Put(ctx, run, strings.TrimSpace(list+" "+effect))
			},
			Recorded: func(_ context.Context, run string) ([]string, error) { return strings.Fields(db.Get(run)), nil },
		}
	})
}
