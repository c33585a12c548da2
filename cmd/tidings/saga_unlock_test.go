package main

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"tidings.example/command"
)

type cookTicket struct {
	Ticket string `json:"ticket"`
	Order  string `json:"order"`
}

func (cookTicket) CommandType() string { return "CookTicket" }

// TestUnlockLetsOthersIn: a running participant handles what waited for a lock
// that an operator has broken, in order.
func TestUnlockLetsOthersIn(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, url string) {
		mustRun(t, "migrate", "up", "--store-url", url)
		db := openURL(t, url)
		kitchen := command.Participant{Name: "kitchen", Channel: "kitchen.commands"}
		var mu sync.Mutex
		var cooked []string
		receiver := command.NewReceiver("kitchen", db.Outbox, db.Commands, command.WithInterval(50*time.Millisecond))
		command.On(receiver, kitchen, func(_ context.Context, _ *sql.Tx, c command.Of[cookTicket]) (command.Answer, error) {
			mu.Lock()
			defer mu.Unlock()
			cooked = append(cooked, c.Data.Order)
			return command.Done(), nil
		}, command.Respecting(func(c cookTicket) string { return "Ticket/" + c.Ticket }))
		inTx(t, db, func(ctx context.Context, tx *sql.Tx) error {
			owner := command.Saga{Type: "create-order", ID: "o-1"}
			_, err := db.Commands.Lock(ctx, tx, command.Target{Participant: "kitchen", Name: "Ticket/99"}, owner, time.Now())
			return err
		})
		for _, order := range []string{"o-2", "o-3"} {
			m, err := command.Message(kitchen, cookTicket{"99", order}, command.ForSaga(command.Saga{Type: "create-order", ID: order}, "cook"), command.ReplyTo("orders.replies", order))
			if err != nil {
				t.Fatal(err)
			}
			inTx(t, db, func(ctx context.Context, tx *sql.Tx) error { return receiver.Handle(ctx, tx, &m) })
		}
		ctx, stop := context.WithCancel(context.Background())
		var done sync.WaitGroup
		done.Go(func() {
			if err := receiver.Upkeep().Run(ctx); err != nil {
				t.Errorf("the participant: %v", err)
			}
		})
		t.Cleanup(func() { stop(); done.Wait() })
		if out := mustRun(t, "saga", "locks", "--store-url", url); !strings.Contains(out, "1 lock; 2 commands wait") {
			t.Errorf("the locks are:\n%s", out)
		}
		mustRun(t, "saga", "unlock", "kitchen", "Ticket/99", "--store-url", url, "--reason", "the orders service is gone")
		eventually(t, "what waited is handled", func() error {
			mu.Lock()
			defer mu.Unlock()
			if got := fmt.Sprint(cooked); got != "[o-2 o-3]" {
				return fmt.Errorf("handled are %s", got)
			}
			return nil
		})
		if out := mustRun(t, "saga", "locks", "--store-url", url); out != "Nothing is locked.\n" {
			t.Errorf("the locks are:\n%s", out)
		}
	})
}
