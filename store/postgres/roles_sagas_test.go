package postgres_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"tidings.example"
	"tidings.example/admin"
	"tidings.example/command"
)

// useSagas does everything that an orchestrator, a participant and an operator do.
func useSagas(ctx context.Context, t *testing.T, r roles) {
	t.Helper()
	sagas, timers, commands, replies := r.app.Sagas(), r.app.Timers(), r.app.Commands(), r.app.Replies()
	now := time.Now()
	record := sagaRecord("1", now)
	owner := command.Saga{Type: record.Type, ID: record.ID}
	one, other := command.Target{Participant: "kitchen", Name: "Ticket/1"}, command.Target{Participant: "kitchen", Name: "Ticket/2"}
	m := msg("k")
	m.ID, m.Time = "m", now
	delayed := []tidings.Message{m}
	steps := []func(tx pgx.Tx) error{
		func(tx pgx.Tx) error { _, err := sagas.Insert(ctx, tx, record, entries(1, 1)); return err },
		func(tx pgx.Tx) error { return sagas.Save(ctx, tx, record, entries(2, 1)) },
		func(tx pgx.Tx) error { _, err := sagas.Due(ctx, tx, now, 1); return err },
		func(tx pgx.Tx) error { _, err := sagas.Load(ctx, tx, record.Ref); return err },
		func(tx pgx.Tx) error { return timers.Delay(ctx, tx, now, delayed) },
		func(tx pgx.Tx) error { _, err := timers.Cancel(ctx, tx, "other"); return err },
		func(tx pgx.Tx) error { _, err := timers.Take(ctx, tx, now, 1); return err },
		func(tx pgx.Tx) error { _, err := commands.Lock(ctx, tx, one, owner, now); return err },
		func(tx pgx.Tx) error { _, err := commands.Lock(ctx, tx, one, command.Saga{}, now); return err },
		func(tx pgx.Tx) error { _, err := commands.Lock(ctx, tx, other, owner, now); return err },
		func(tx pgx.Tx) error { _, err := commands.LocksOf(ctx, tx, "kitchen", owner); return err },
		func(tx pgx.Tx) error { _, err := commands.Unlock(ctx, tx, one, owner); return err },
		func(tx pgx.Tx) error { return commands.SetAside(ctx, tx, one, &m, now) },
		func(tx pgx.Tx) error {
			a, err := commands.FirstAside(ctx, tx, one)
			if err == nil {
				err = commands.RemoveAside(ctx, tx, a.ID)
			}
			return err
		},
		func(tx pgx.Tx) error { _, err := commands.Answered(ctx, tx, "kitchen", "m"); return err },
		func(tx pgx.Tx) error { return commands.Remember(ctx, tx, "kitchen", "m", &m, now) },
		func(tx pgx.Tx) error { return replies.SaveReply(ctx, tx, "m", &m, now) },
	}
	for i, step := range steps {
		if err := sagas.InTx(ctx, func(_ context.Context, tx pgx.Tx) error { return step(tx) }); err != nil {
			t.Errorf("sagas and commands, step %d: %v", i, err)
		}
	}
	act := admin.Action{Actor: "ada", Reason: "test"}
	a := r.operator.Admin()
	for i, do := range []func() error{
		func() error { _, _, err := sagas.NextWake(ctx); return err },
		func() error { _, err := sagas.Get(ctx, record.Ref); return err },
		func() error { return sagas.Define(ctx, record.Type, "f1", []byte("{}"), now) },
		func() error { _, err := sagas.Fingerprints(ctx); return err },
		func() error { _, err := sagas.Unfinished(ctx, record.Type, "f1", "", 1); return err },
		func() error { _, _, err := timers.Next(ctx); return err },
		func() error { _, err := commands.Broken(ctx, "kitchen", 1); return err },
		func() error { _, err := commands.Forget(ctx, "kitchen", now.Add(time.Hour), 1); return err },
		func() error { _, err := replies.Reply(ctx, "m"); return err },
		func() error { _, err := replies.ForgetReplies(ctx, now.Add(time.Hour), 1); return err },
		func() error { _, err := a.ListSagas(ctx, admin.SagaFilter{}); return err },
		func() error { _, err := a.GetSaga(ctx, record.Type, record.ID); return err },
		func() error { _, err := a.SagaJournal(ctx, record.Type, record.ID, 0, 1); return err },
		func() error { _, err := a.CountSagas(ctx); return err },
		func() error { _, err := a.SagaPlans(ctx, ""); return err },
		func() error { _, err := a.ListLocks(ctx, admin.LockFilter{}); return err },
		func() error { _, err := a.CountPending(ctx); return err },
		func() error { return a.RequestSaga(ctx, record.Type, record.ID, "retry", []byte("{}"), act) },
		func() error { return a.BreakLock(ctx, other.Participant, other.Name, act) },
	} {
		if err := do(); err != nil {
			t.Errorf("sagas and commands, call %d: %v", i, err)
		}
	}
}
