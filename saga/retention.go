package saga

import (
	"context"
	"fmt"
	"time"
)

// parentPatience is when a saga is looked at again that is kept for its parent.
const parentPatience = time.Hour

// remove removes a saga that has ended long enough ago. One that was started by another
// saga is kept until that has ended, and all above it: it may have to be undone yet.
func (m *Manager[Tx]) remove(ctx context.Context, u *unit[Tx], r *Record) error {
	needed, err := m.needed(ctx, u, r)
	switch {
	case err != nil:
		return err
	case needed:
		r.Wake = u.at.Add(parentPatience)
		err = m.cfg.Store.Save(ctx, u.tx, r, nil)
	default:
		err = m.cfg.Store.Remove(ctx, u.tx, r)
	}
	if err != nil {
		return fmt.Errorf("remove saga %s %q: %w", r.Type, r.ID, err)
	}
	return nil
}

func (m *Manager[Tx]) needed(ctx context.Context, u *unit[Tx], r *Record) (bool, error) {
	for {
		s, err := decodeStored(r)
		if err != nil || s.Parent == nil {
			return false, err
		}
		above, err := m.cfg.Store.Load(ctx, u.tx, Ref{s.Parent.Type, s.Parent.ID})
		if err != nil {
			return false, fmt.Errorf("load saga %s %q: %w", s.Parent.Type, s.Parent.ID, err)
		}
		if above == nil || !above.State.Ended() {
			return above != nil, nil
		}
		r = above
	}
}
