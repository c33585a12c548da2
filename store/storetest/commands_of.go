package storetest

import (
	"context"
	"fmt"

	"tidings.example"
	"tidings.example/command"
)

// testAsideOf looks for the commands of one saga among those that wait.
func testAsideOf[Tx any](e *env[Tx]) {
	odd := command.Saga{Type: one.Type, ID: `1"<é>\'%`}
	other := command.Saga{Type: "another", ID: one.ID}
	other2 := command.Target{Participant: ticket.Participant, Name: "Ticket/100"}
	put := func(target command.Target, name string, owner command.Saga) {
		m := complete(name)
		m.Headers = tidings.Headers{}
		if owner != (command.Saga{}) {
			m.Headers = tidings.Headers{command.HeaderSagaType: owner.Type, command.HeaderSagaID: owner.ID, "tenant": two.ID}
		}
		e.setAside(target, m, at(1))
	}
	put(ticket, "other", other)
	put(ticket, "bare", command.Saga{})
	put(other2, "elsewhere", one)
	for i := range 3 {
		put(ticket, fmt.Sprint("odd", i), odd)
		put(ticket, fmt.Sprint("one", i), one)
	}
	e.commandTx(func(ctx context.Context, tx Tx) error {
		for i := range 4 {
			for prefix, owner := range map[string]command.Saga{"one": one, "odd": odd} {
				a, err := e.db.Commands.FirstAsideOf(ctx, tx, ticket, owner)
				switch {
				case err != nil:
					return err
				case i == 3 && a == nil:
					continue
				case a == nil || a.Message.ID != fmt.Sprint(prefix, i) || a.Target != ticket || !a.At.Equal(at(1)):
					return fmt.Errorf("%s %d: %+v", prefix, i, a)
				}
				if err := e.db.Commands.RemoveAside(ctx, tx, a.ID); err != nil {
					return err
				}
			}
		}
		if a, err := e.db.Commands.FirstAsideOf(ctx, tx, ticket, two); err != nil || a != nil {
			return fmt.Errorf("of a saga that waits for nothing: %+v, %w", a, err)
		}
		return nil
	})
	if a := e.firstAside(ticket, false); a == nil || a.Message.ID != "other" {
		e.Errorf("first: %+v", a)
	}
}
