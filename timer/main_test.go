package timer_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"tidings.example"
	"tidings.example/timer"
)

// childVariable has, in a process that is going to be killed, the database that
// it takes messages from: a kind, a space, a path or URL.
const childVariable = "TIDINGS_TIMER_TEST_CHILD"

func TestMain(m *testing.M) {
	if kind, where, ok := strings.Cut(os.Getenv(childVariable), " "); ok {
		if err := child(kind, where); err != nil {
			fmt.Println("failed:", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// child takes what is due and waits, within the transaction, to be killed.
func child(kind, where string) error {
	ctx := context.Background()
	switch kind {
	case "sqlite":
		db, err := openSQLite(ctx, where)
		if err != nil {
			return err
		}
		return takeAndHang(ctx, db.Timers())
	case "mysql":
		db, err := openMySQL(ctx, where)
		if err != nil {
			return err
		}
		return takeAndHang(ctx, db.Timers())
	case "postgres":
		db, err := openPostgres(ctx, where)
		if err != nil {
			return err
		}
		return takeAndHang[postgresTx](ctx, db.Timers())
	}
	return fmt.Errorf("no kind %q", kind)
}

func takeAndHang[Tx any](ctx context.Context, s timer.Store[Tx]) error {
	return s.InTx(ctx, func(ctx context.Context, tx Tx) error {
		ms, err := s.Take(ctx, tx, time.Now(), 100)
		if err != nil {
			return err
		}
		fmt.Println("taken", len(ms))
		select {}
	})
}

// testKill kills a process, really, that has taken messages and not committed.
func testKill[Tx any](t *testing.T, kind, where string, db database[Tx]) {
	ms := make([]tidings.Message, 20)
	for i := range ms {
		ms[i] = reminder(fmt.Sprint(i))
	}
	must(t, db.send(t.Context(), time.Now().Add(-time.Second), ms...))
	victim := exec.Command(os.Args[0])
	victim.Env = append(os.Environ(), childVariable+"="+kind+" "+where)
	victim.Stderr = os.Stderr
	out, err := victim.StdoutPipe()
	must(t, err)
	must(t, victim.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || line != "taken 20\n" {
		t.Errorf("the child says %q, %v", line, err)
	}
	must(t, victim.Process.Kill())
	_ = victim.Wait() // it was killed
	if got := db.published(t); len(got) != 0 {
		t.Errorf("published before the kill: %q", keys(got))
	}
	db.start(t, nil)
	db.await(t, len(ms))
	must(t, db.send(t.Context(), time.Now(), reminder("last")))
	if got := keys(db.await(t, len(ms)+1)); len(got) != len(ms)+1 {
		t.Errorf("published %q", got)
	}
}
