package storetest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tidings.example"
)

func replyTests[Tx any]() []testCase[Tx] {
	return []testCase[Tx]{
		{name: "the first reply stays", run: testReplyFirst[Tx]},
		{name: "a reply is seen when it is committed", run: testReplyCommitted[Tx]},
		{name: "old replies are forgotten", run: testReplyForget[Tx]},
	}
}

func (e *env[Tx]) saveReply(id string, reply tidings.Message, when time.Time) {
	e.Helper()
	e.ok(e.db.Replies.InTx(e.ctx, func(ctx context.Context, tx Tx) error {
		return e.db.Replies.SaveReply(ctx, tx, id, &reply, when)
	}))
}

func (e *env[Tx]) reply(id string) *tidings.Message {
	e.Helper()
	m, err := e.db.Replies.Reply(e.ctx, id)
	e.ok(err)
	return m
}

func testReplyFirst[Tx any](e *env[Tx]) {
	if m := e.reply("c1"); m != nil {
		e.Errorf("a reply that was not given: %+v", m)
	}
	want := fullMessage("r1")
	e.saveReply("c1", want, at(1))
	e.saveReply("c1", complete("r2"), at(2))
	e.saveReply("c2", bareMessage("r3"), at(3))
	for id, want := range map[string]tidings.Message{"c1": want, "c2": bareMessage("r3")} {
		got := e.reply(id)
		if got == nil {
			e.Fatalf("no reply to %s", id)
		}
		if diff := sameMessage(*got, want); diff != "" {
			e.Error(diff)
		}
	}
	if e.reply("C1") != nil || e.reply("c1 ") != nil {
		e.Error("ids are compared byte by byte")
	}
}

func testReplyCommitted[Tx any](e *env[Tx]) {
	stop := errors.New("stop")
	err := e.db.Replies.InTx(e.ctx, func(ctx context.Context, tx Tx) error {
		m := complete("r1")
		if err := e.db.Replies.SaveReply(ctx, tx, "c1", &m, at(1)); err != nil {
			return err
		}
		if e.reply("c1") != nil {
			e.Error("seen before the commit")
		}
		return stop
	})
	if !errors.Is(err, stop) {
		e.Fatal(err)
	}
	if e.reply("c1") != nil {
		e.Error("seen after a roll-back")
	}
}

func testReplyForget[Tx any](e *env[Tx]) {
	for i := range 10 {
		e.saveReply(fmt.Sprint(i), complete("r"), at(i))
	}
	for i, want := range []int{4, 1, 0} {
		got, err := e.db.Replies.ForgetReplies(e.ctx, at(5), 4)
		if err != nil || got != want {
			e.Errorf("forget %d: %d, %v; want %d", i, got, err, want)
		}
	}
	for i := range 10 {
		if there := e.reply(fmt.Sprint(i)) != nil; there != (i >= 5) {
			e.Errorf("reply %d: %v", i, there)
		}
	}
}
