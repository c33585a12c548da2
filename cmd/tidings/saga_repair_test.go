package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tidings.example"
	"tidings.example/saga"
	"tidings.example/saga/machine"
)

type askedListJSON struct {
	Asked []askedJSON `json:"asked"`
}

// TestSagaRequestsAreCarriedOut by a running service.
func TestSagaRequestsAreCarriedOut(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, url string) {
		mustRun(t, "migrate", "up", "--store-url", url)
		s := newOrderService(t, url)
		s.run(t)
		s.start(t, "1", "2", "3", "4", "5")
		run := func(args string, more ...string) result {
			t.Helper()
			return invoke(t, append(append([]string{"saga"}, strings.Fields(args)...), append(more, "--store-url", url, "--wait", "30s", "--reason", "because of "+args)...)...)
		}
		does := func(args, want string, more ...string) {
			t.Helper()
			if r := run(args, more...); r.code != exitDone || !strings.Contains(r.stdout, want) {
				t.Errorf("%s: exit code %d, want %q\n%s%s", args, r.code, want, r.stdout, r.stderr)
			}
		}
		does("skip create-order 1 --step reserve-credit --reply-type CreditReserved", "create-order 1: completed, was running", "--reply", `{"left":3}`)
		if got := s.data(t, "1"); got.Left != 3 {
			t.Errorf("the operator's reply was not taken into the data: %+v", got)
		}
		does("skip create-order 2 --outcome failure", "create-order 2: compensated, was running")
		does("fail create-order 3", "create-order 3: failed at reserve-credit, was running")
		run("skip create-order 4 --reply [] --reply-type CreditReserved").fails(t, exitNegative, "the request was refused")
		run("skip create-order 4 --step approve").fails(t, exitNegative, "refused")
		if r := run("skip create-order 4 --step approve"); !strings.Contains(r.stdout, "refused: the step is neither stuck nor waited for; it is running at reserve-credit") {
			t.Errorf("a refusal is told as:\n%s", r.stdout)
		}
		run("retry create-order 3").fails(t, exitNegative, "the saga has ended")
		run("retry create-order 9").fails(t, exitNegative, "no saga create-order 9")

		// One whose compensation fails is stuck, until an operator has mended it.
		s.broken.Store(true)
		does("skip create-order 4 --outcome failure", "was running")
		s.awaitState(t, "4", machine.Stuck)
		if out := mustRun(t, "saga", "show", "create-order", "4", "--store-url", url); !strings.Contains(out, "the ledger is closed") || !strings.Contains(out, "< create") {
			t.Errorf("what is stuck is shown as:\n%s", out)
		}
		run("compensate create-order 4").fails(t, exitNegative, "refused")
		s.broken.Store(false)
		asked := decode[askedListJSON](t, run("retry --all-matching --yes -o json").stdout).Asked
		if len(asked) != 1 || asked[0].ID != "4" || !asked[0].Done || asked[0].Was != "stuck" || asked[0].State != "compensated" {
			t.Errorf("asked was %+v", asked)
		}
		does("compensate --all-matching --state running --yes", "Asked to compensate 1 saga.")
		s.awaitEnd(t, "5")
		for id, want := range map[string]machine.State{"1": machine.Completed, "2": machine.Compensated, "3": machine.Failed, "4": machine.Compensated} {
			s.awaitState(t, id, want)
		}
		all := auditRows(t, s.db)
		if len(all) != 10 || all[0] != "tester: because of skip create-order 1 --step reserve-credit --reply-type CreditReserved" {
			t.Errorf("the audit table holds %d rows:\n%s", len(all), strings.Join(all, "\n"))
		}
	})
}

// data returns the data of a saga.
func (s *orderService) data(t *testing.T, id string) (data newOrder) {
	t.Helper()
	r, err := s.db.Sagas.Get(t.Context(), saga.Ref{Type: "create-order", ID: id})
	if err != nil || r == nil {
		t.Fatalf("saga %s: %v, %v", id, r, err)
	}
	if err := json.Unmarshal(r.Data, &data); err != nil {
		t.Fatal(err)
	}
	return data
}

func (s *orderService) awaitState(t *testing.T, id string, want ...machine.State) {
	t.Helper()
	eventually(t, fmt.Sprintf("saga %s is %v", id, want), func() error {
		r, err := s.db.Sagas.Get(t.Context(), saga.Ref{Type: "create-order", ID: id})
		if err == nil && !slices.Contains(want, r.State) {
			err = fmt.Errorf("it is %s at %s", r.State, r.Step)
		}
		return err
	})
}

// awaitEnd waits until a saga is compensated, or waits for the participant to undo.
func (s *orderService) awaitEnd(t *testing.T, id string) {
	t.Helper()
	s.awaitState(t, id, machine.Compensated, machine.Compensating)
}

// TestSagaRequestsWait where no service runs.
func TestSagaRequestsWait(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, url string) {
		sagaDatabase(t, url)
		db := openURL(t, url)
		ask := func(args string) result {
			t.Helper()
			return invoke(t, append([]string{"saga"}, strings.Fields(args+" --actor ada --reason why --store-url "+url)...)...)
		}
		stored := func(id string) *saga.Request {
			t.Helper()
			r, err := db.Sagas.Get(t.Context(), saga.Ref{Type: "create-order", ID: id})
			if err != nil {
				t.Fatal(err)
			}
			if r.Request == nil {
				return nil
			}
			var q saga.Request
			if err := json.Unmarshal(r.Request, &q); err != nil {
				t.Fatal(err)
			}
			return &q
		}
		// What only looks changes nothing.
		if r := ask("retry create-order o-1 --dry-run"); r.code != exitDone || !strings.Contains(r.stdout, "Would retry 1 saga; nothing was changed.") {
			t.Errorf("a dry run: %+v", r)
		}
		ask("fail --all-matching --state unfinished").fails(t, exitUsage, "would fail 4 sagas", "--dry-run", "--yes")
		if r := ask("fail --all-matching --state unfinished --dry-run -o json"); r.code != exitDone || !strings.Contains(r.stdout, `"dryRun": true`) || !strings.Contains(r.stdout, "o-3") {
			t.Errorf("a dry run of a set: %+v", r)
		}
		if q, rows := stored("o-1"), auditRows(t, db); q != nil || len(rows) != 0 {
			t.Fatalf("a dry run has stored %+v and %q", q, rows)
		}

		ask("retry create-order o-1 --step reserve-credit --wait 150ms").fails(t, exitNegative, "the request was not carried out within 150ms", "when it runs")
		if q := stored("o-1"); q == nil || q.Op != machine.RetryNow || q.Step != "reserve-credit" || q.Actor != "ada" || q.Reason != "why" {
			t.Errorf("stored is %+v", q)
		}
		ask("fail create-order o-1").fails(t, exitNegative, "an earlier request", "is it running?")
		if out := mustRun(t, "saga", "list", "--state", "stuck", "--store-url", url); !strings.Contains(out, "(request waits)") {
			t.Errorf("the list does not show that a request waits:\n%s", out)
		}
		if r := ask("compensate create-order o-2 --wait 0"); r.code != exitDone || r.stdout != "Asked to compensate 1 saga.\n" {
			t.Errorf("without waiting: %+v", r)
		}

		// Of a set, those that can be asked are, and the others are named.
		r := ask("skip --all-matching --type create-order --state all --outcome failure --yes --wait 0")
		r.fails(t, exitFailed, "3 of 4 sagas could not be asked")
		for _, want := range []string{"Asked to skip the step that waits, as refused, in 1 saga.", "create-order o-1: not asked", "create-order o-4: not asked", "the saga has ended"} {
			if !strings.Contains(r.stdout, want) {
				t.Errorf("a set with failures does not say %q:\n%s", want, r.stdout)
			}
		}
		if q := stored("o-3"); q == nil || q.Op != machine.Skip || q.Success {
			t.Errorf("stored is %+v", q)
		}
		if rows := auditRows(t, db); len(rows) != 3 || rows[2] != "ada: why" {
			t.Errorf("the audit table holds %q", rows)
		}
		ask("retry --all-matching --type cancel-order --yes").fails(t, exitNegative, "no saga matches")
	})
}

func TestSagaLocks(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, url string) {
		mustRun(t, "migrate", "up", "--store-url", url)
		if out := mustRun(t, "saga", "locks", "--store-url", url); out != "Nothing is locked.\n" {
			t.Errorf("without locks:\n%s", out)
		}
		db := openURL(t, url)
		storeLocks(t, db)
		out := mustRun(t, "saga", "locks", "--store-url", url)
		for _, want := range []string{"Ticket/99", "create-order o-1", "2h0m", "2 locks; 2 commands wait\n"} {
			if !strings.Contains(out, want) {
				t.Errorf("the locks are listed without %q:\n%s", want, out)
			}
		}
		list := func(args string) (targets []string) {
			t.Helper()
			all := append([]string{"saga", "locks", "-o", "json", "--store-url", url}, strings.Fields(args)...)
			for _, l := range decode[struct {
				Locks []lockJSON `json:"locks"`
			}](t, mustRun(t, all...)).Locks {
				targets = append(targets, fmt.Sprintf("%s:%d", l.Target, l.Waiting))
			}
			return targets
		}
		for args, want := range map[string]string{
			"": "[Ticket/99:2 Ticket/100:0]", "--older 90m": "[Ticket/99:2]", "--target Ticket/100": "[Ticket/100:0]", "--participant pantry": "[]",
			"--type create-order --id o-1 --limit 1": "[Ticket/99:2]", "--id o-2": "[]",
		} {
			if got := fmt.Sprint(list(args)); got != want {
				t.Errorf("locks %s: %s, want %s", args, got, want)
			}
		}
		if out := mustRun(t, "saga", "unlock", "kitchen", "Ticket/99", "--store-url", url, "--reason", "gone"); !strings.Contains(out, "kitchen on Ticket/99") || !strings.Contains(out, "2 commands waited") {
			t.Errorf("unlock says:\n%s", out)
		}
		invoke(t, "saga", "unlock", "kitchen", "Ticket/99", "--store-url", url, "--reason", "gone").fails(t, exitNegative, `no lock on "Ticket/99"`)
		if got := fmt.Sprint(list("")); got != "[Ticket/100:0]" {
			t.Errorf("after unlock: %s", got)
		}
		if rows := auditRows(t, db); len(rows) != 1 || rows[0] != "tester: gone" {
			t.Errorf("the audit table holds %q", rows)
		}
	})
}

// TestDoctorFindsStuckSagas, old locks and late timers, as warnings.
func TestDoctorFindsStuckSagas(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, url string) {
		mustRun(t, "migrate", "up", "--store-url", url)
		find := func() map[string]findingJSON {
			t.Helper()
			found := map[string]findingJSON{}
			for _, f := range decode[examinedJSON](t, mustRun(t, "doctor", "-o", "json", "--store-url", url)).Findings {
				found[f.Name] = f
			}
			return found
		}
		before := find()
		for _, name := range []string{"sagas", "locks", "timers"} {
			if f := before[name]; f.Status != "ok" {
				t.Errorf("of an empty database doctor says %+v", f)
			}
		}
		sagaDatabase(t, url)
		db := openURL(t, url)
		inTx(t, db, func(ctx context.Context, tx *sql.Tx) error {
			m := tidings.Message{ID: tidings.NewID(), Channel: "reminders", Key: "1", Type: "Remind", Time: time.Now(), ContentType: "application/json"}
			return db.Timers.Delay(ctx, tx, time.Now().Add(-10*time.Minute), []tidings.Message{m})
		})
		after := find()
		for name, want := range map[string]string{"sagas": "1 saga is stuck, for up to 2h0m", "locks": "the oldest for 2h0m", "timers": "1 overdue, by up to 10m"} {
			if f := after[name]; f.Status != "warn" || !strings.Contains(f.Detail, want) || f.Advice == "" {
				t.Errorf("doctor says %+v, want a warning with %q", f, want)
			}
		}
	})
}
