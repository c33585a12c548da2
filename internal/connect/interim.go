package connect

import (
	"context"
	"errors"

	"tidings.example/admin"
)

// complete adds to an Admin what its store does not implement: every answer is
// an error.
func complete(a basicAdmin) Admin {
	full := struct {
		basicAdmin
		admin.Sagas
		admin.Locks
		admin.Pending
	}{a, noSagas{}, noSagas{}, noSagas{}}
	if s, ok := a.(admin.Sagas); ok {
		full.Sagas = s
	}
	if l, ok := a.(admin.Locks); ok {
		full.Locks = l
	}
	if p, ok := a.(admin.Pending); ok {
		full.Pending = p
	}
	return full
}

var errNoSagas = errors.New("this store keeps no sagas")

type noSagas struct{}

func (noSagas) ListSagas(context.Context, admin.SagaFilter) ([]admin.Saga, error) {
	return nil, errNoSagas
}
func (noSagas) GetSaga(context.Context, string, string) (admin.Saga, error) {
	return admin.Saga{}, errNoSagas
}
func (noSagas) SagaJournal(context.Context, string, string, int, int) ([]admin.SagaEntry, error) {
	return nil, errNoSagas
}
func (noSagas) CountSagas(context.Context) ([]admin.SagaCount, error) { return nil, errNoSagas }
func (noSagas) SagaPlans(context.Context, string) ([]admin.SagaPlan, error) {
	return nil, errNoSagas
}
func (noSagas) RequestSaga(context.Context, string, string, string, []byte, admin.Action) error {
	return errNoSagas
}
func (noSagas) ListLocks(context.Context, admin.LockFilter) ([]admin.Lock, error) {
	return nil, errNoSagas
}
func (noSagas) BreakLock(context.Context, string, string, admin.Action) error { return errNoSagas }
func (noSagas) CountPending(context.Context) (admin.PendingCount, error) {
	return admin.PendingCount{}, errNoSagas
}
