package relay

import "context"

// follow begins to read the log.
func (t *tailer) follow() {
	ctx, quit := context.WithCancel(context.Background())
	t.quit, t.beside = quit, make(chan struct{})
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		t.askLag(ctx)
	}()
	go func() {
		defer close(t.beside)
		t.readOn(ctx)
		<-asked
	}()
}

func (t *tailer) readOn(ctx context.Context) {
	defer close(t.batches)
	for {
		b, err := t.log.Next(ctx, t.cfg.BatchRows, t.cfg.BatchBytes)
		if err != nil {
			t.readErr = err
			return
		}
		select {
		case t.batches <- b:
		case <-ctx.Done():
			t.readErr = ctx.Err()
			return
		}
	}
}

// askLag asks how far the saved position is behind, for Stats.
func (t *tailer) askLag(ctx context.Context) {
	for ctx.Err() == nil {
		attempt, cancel := context.WithTimeout(ctx, t.cfg.LeaseTTL)
		lag, err := t.log.Lag(attempt)
		cancel()
		if err == nil {
			t.status.update(func(s *Stats) { s.Lag = lag })
		}
		sleep(ctx, lagInterval)
	}
}
