package main

import (
	"context"
	"fmt"
	"time"

	"tidings.example/admin"
	"tidings.example/saga/machine"
)

// What is older than these is worth a look.
const (
	oldLock   = time.Hour
	lateTimer = time.Minute
)

// examineSagas looks at what waits for an operator, or for a service that should
// run. It is never wrong in itself, so there are warnings only.
func examineSagas(ctx context.Context, a interface {
	admin.Sagas
	admin.Pending
}) []admin.Finding {
	counts, err := a.CountSagas(ctx)
	if err != nil {
		return []admin.Finding{{Name: "sagas", Status: admin.Fail, Detail: oneLine(err), Advice: "run: tidings migrate up"}}
	}
	pending, err := a.CountPending(ctx)
	if err != nil {
		return []admin.Finding{{Name: "timers", Status: admin.Fail, Detail: oneLine(err), Advice: "run: tidings migrate up"}}
	}
	return []admin.Finding{examineStuck(counts), examineLocks(pending), examineTimers(pending)}
}

func examineStuck(counts []admin.SagaCount) admin.Finding {
	var unfinished, stuck int64
	var oldest time.Duration
	for _, c := range counts {
		state := machine.State(c.State)
		if !state.Ended() {
			unfinished += c.Count
		}
		if state == machine.Stuck {
			stuck, oldest = stuck+c.Count, max(oldest, c.Oldest)
		}
	}
	if stuck > 0 {
		return admin.Finding{Name: "sagas", Status: admin.Warn,
			Detail: fmt.Sprintf("%s stuck, for up to %s", count(stuck, "saga is", "sagas are"), span(oldest)),
			Advice: "see tidings saga list --state stuck, and docs/operating-sagas.md"}
	}
	return admin.Finding{Name: "sagas", Status: admin.OK, Detail: fmt.Sprintf("%d unfinished, none stuck", unfinished)}
}

func examineLocks(p admin.PendingCount) admin.Finding {
	detail := fmt.Sprintf("%s held for sagas, %s", count(p.Locks, "lock is", "locks are"), count(p.SetAside, "command waits", "commands wait"))
	if p.OldestLock >= oldLock {
		return admin.Finding{Name: "locks", Status: admin.Warn, Detail: fmt.Sprintf("%s; the oldest for %s", detail, span(p.OldestLock)),
			Advice: "see tidings saga locks --older 1h, and what those sagas wait for"}
	}
	return admin.Finding{Name: "locks", Status: admin.OK, Detail: detail}
}

func examineTimers(p admin.PendingCount) admin.Finding {
	detail := fmt.Sprintf("%s, %d overdue", count(p.Timers, "time is kept", "times are kept"), p.Overdue)
	if p.Late >= lateTimer {
		return admin.Finding{Name: "timers", Status: admin.Warn, Detail: fmt.Sprintf("%s, by up to %s", detail, span(p.Late)),
			Advice: "start the service of this database: sagas time out and delayed messages are sent only while it runs"}
	}
	return admin.Finding{Name: "timers", Status: admin.OK, Detail: detail}
}
