package storetest

import (
	"context"
	"fmt"
	"time"

	"tidings.example"
)

func (e *env[Tx]) answered(participant, id string) (m *tidings.Message) {
	e.Helper()
	e.commandTx(func(ctx context.Context, tx Tx) (err error) {
		m, err = e.db.Commands.Answered(ctx, tx, participant, id)
		return err
	})
	return m
}

func (e *env[Tx]) remember(participant, id string, answer tidings.Message, when time.Time) {
	e.Helper()
	e.commandTx(func(ctx context.Context, tx Tx) error {
		return e.db.Commands.Remember(ctx, tx, participant, id, &answer, when)
	})
}

func testAnswer[Tx any](e *env[Tx]) {
	if m := e.answered("kitchen", "c1"); m != nil {
		e.Errorf("an answer that was not given: %+v", m)
	}
	want := fullMessage("r1")
	e.remember("kitchen", "c1", want, at(1))
	e.remember("courier", "c1", bareMessage("r2"), at(1))
	got := e.answered("kitchen", "c1")
	if got == nil {
		e.Fatal("the answer is not there")
	}
	if diff := sameMessage(*got, want); diff != "" {
		e.Error(diff)
	}
	for _, other := range []string{"C1", "c1 ", "c2"} {
		if m := e.answered("kitchen", other); m != nil {
			e.Errorf("answer to %q: %+v", other, m)
		}
	}
	// A second answer does not take the place of the first, whether or not it is an error.
	_ = e.db.Commands.InTx(e.ctx, func(ctx context.Context, tx Tx) error {
		m := complete("r3")
		return e.db.Commands.Remember(ctx, tx, "kitchen", "c1", &m, at(2))
	})
	if got := e.answered("kitchen", "c1"); got == nil || got.ID != "r1" {
		e.Errorf("answer: %+v", got)
	}
}

func testAnswerForget[Tx any](e *env[Tx]) {
	for i := range 10 {
		e.remember("kitchen", fmt.Sprint(i), complete("r"), at(i))
	}
	e.remember("courier", "0", complete("r"), at(0))
	for i, want := range []int{4, 1, 0} {
		got, err := e.db.Commands.Forget(e.ctx, "kitchen", at(5), 4)
		if err != nil || got != want {
			e.Errorf("forget %d: %d, %v; want %d", i, got, err, want)
		}
	}
	for i := range 10 {
		if there := e.answered("kitchen", fmt.Sprint(i)) != nil; there != (i >= 5) {
			e.Errorf("answer %d: %v", i, there)
		}
	}
	if e.answered("courier", "0") == nil {
		e.Error("the other participant's answer is gone")
	}
}
