package storetest

import (
	"context"
	"strings"

	"tidings.example"
)

func undecodableTests[Tx any]() []testCase[Tx] {
	return []testCase[Tx]{
		{name: "rows that do not decode are errors", run: testUndecodable[Tx]},
	}
}

// Somebody has written rows by hand. What reads them gets an error that says
// which column it is, and no half of a message.
func testUndecodable[Tx any](e *env[Tx]) {
	if e.db.Exec == nil {
		return
	}
	e.delay(at(1), complete("a"))
	e.setAside(ticket, complete("a"), at(1))
	e.remember("kitchen", "a", complete("a"), at(1))
	e.saveReply("a", complete("a"), at(1))
	for _, headers := range []string{`[1]`, `{"a":null}`, `{`, `"text"`, `{"a":1}`} {
		for _, table := range []string{"tidings_timer", "tidings_command_aside", "tidings_command_answer", "tidings_reply"} {
			e.ok(e.db.Exec(e.ctx, `UPDATE `+table+` SET headers = '`+headers+`'`))
		}
		check := func(what string, got any, err error) {
			e.Helper()
			if err == nil || !strings.Contains(err.Error(), "headers") || e.db.Commands.Transient(err) {
				e.Errorf("%s with headers %s: %+v, %v", what, headers, got, err)
			}
		}
		var m *tidings.Message
		err := e.db.Commands.InTx(e.ctx, func(ctx context.Context, tx Tx) (err error) {
			m, err = e.db.Commands.Answered(ctx, tx, "kitchen", "a")
			return err
		})
		check("answer", m, err)
		check("command aside", nil, e.db.Commands.InTx(e.ctx, func(ctx context.Context, tx Tx) error {
			_, err := e.db.Commands.FirstAside(ctx, tx, ticket)
			return err
		}))
		check("timer", nil, e.db.Timers.InTx(e.ctx, func(ctx context.Context, tx Tx) error {
			_, err := e.db.Timers.Take(ctx, tx, at(5), 10)
			return err
		}))
		m, err = e.db.Replies.Reply(e.ctx, "a")
		check("reply", m, err)
	}
	e.ok(e.db.Exec(e.ctx, `UPDATE tidings_timer SET headers = NULL`))
	if got := messageIDs(e.take(at(5), 10)); got != "a" {
		e.Errorf("after it was put right: %q", got)
	}
}
