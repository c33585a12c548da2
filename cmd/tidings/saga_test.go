package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"tidings.example/saga/machine"
)

type sagaListJSON struct {
	Sagas []sagaJSON `json:"sagas"`
}

func (l sagaListJSON) ids() string {
	var ids []string
	for _, s := range l.Sagas {
		ids = append(ids, s.ID)
	}
	return strings.Join(ids, " ")
}

// sagaDatabase has sagas in all kinds of states, definitions and locks.
func sagaDatabase(t *testing.T, url string) {
	t.Helper()
	mustRun(t, "migrate", "up", "--store-url", url)
	db := openURL(t, url)
	storePlans(t, db)
	storeSagas(t, db,
		record{"create-order", "o-1", machine.Stuck, "reserve-credit", "customer is\nlocked", 2 * time.Hour},
		record{"create-order", "o-2", machine.Running, "reserve-credit", "", time.Hour},
		record{"create-order", "o-3", machine.Running, "create, reserve-credit", "", time.Minute},
		record{"create-order", "o-4", machine.Completed, "", "", 3 * time.Hour},
		record{"cancel-order", "o-1", machine.Compensating, "refund", "no money", 10 * time.Minute},
	)
	storeLocks(t, db)
}

func TestSagaList(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, url string) {
		for _, args := range [][]string{{"list"}, {"types"}, {"show", "a", "b"}, {"locks"}, {"draw"}} {
			invoke(t, append(append([]string{"saga"}, args...), "--store-url", url)...).fails(t, exitFailed, "tidings migrate up")
		}
		mustRun(t, "migrate", "up", "--store-url", url)
		if out := mustRun(t, "saga", "list", "--store-url", url); out != "No saga matches.\n" {
			t.Errorf("without sagas:\n%s", out)
		}
		if out := mustRun(t, "saga", "types", "--store-url", url); !strings.Contains(out, "knows no sagas") {
			t.Errorf("types without sagas:\n%s", out)
		}
		invoke(t, "saga", "list", "--type", "create-order", "--store-url", url).fails(t, exitNegative, "knows no sagas")
		sagaDatabase(t, url)
		for args, want := range map[string]string{
			"":                               "o-1 o-2 o-1 o-3",
			"--state stuck":                  "o-1",
			"--state running,stuck":          "o-1 o-2 o-3",
			"--state ended":                  "o-4",
			"--state all --limit 2":          "o-4 o-1",
			"--state all --limit 2 --age 1m": "o-4 o-1",
			"--type cancel-order":            "o-1",
			"--step create":                  "o-3",
			"--step reserve-credit":          "o-1 o-2 o-3",
			"--step reserve-credit --state running --limit 1": "o-2",
			"--age 30m":  "o-1 o-2",
			"--age 100h": "",
		} {
			all := append([]string{"saga", "list", "-o", "json", "--store-url", url}, strings.Fields(args)...)
			if got := decode[sagaListJSON](t, mustRun(t, all...)).ids(); got != want {
				t.Errorf("list %s: %s, want %s", args, got, want)
			}
		}
		out := mustRun(t, "saga", "list", "--store-url", url)
		for _, want := range []string{"TYPE", "UNCHANGED", "2h0m", `customer is\nlocked`, "4 sagas: 2 running, 1 compensating, 1 stuck\n"} {
			if !strings.Contains(out, want) {
				t.Errorf("the list does not say %q:\n%s", want, out)
			}
		}
		if r := invoke(t, "saga", "list", "--store-url", url, "--limit", "2"); !strings.Contains(r.stderr, "may be more") {
			t.Errorf("a cut list: %+v", r)
		}
		invoke(t, "saga", "list", "--store-url", url, "--type", "create-ordr").
			fails(t, exitNegative, `"create-ordr"`, "did you mean create-order?", "cancel-order, create-order")
	})
}

func TestSagaTypes(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, url string) {
		sagaDatabase(t, url)
		types := decode[struct {
			Types []sagaTypeJSON `json:"types"`
		}](t, mustRun(t, "saga", "types", "-o", "json", "--store-url", url)).Types
		if len(types) != 2 || types[0].Type != "cancel-order" || types[0].Definitions != 0 || types[1].Definitions != 2 || types[1].Fingerprint != "f2" {
			t.Fatalf("types are %+v", types)
		}
		if n := types[1].Counts; n["stuck"] != 1 || n["running"] != 2 || n["completed"] != 1 || n["failed"] != 0 {
			t.Errorf("counts are %v", n)
		}
		if s := types[1].OldestSeconds; s < 7200 || s > 7500 {
			t.Errorf("the oldest unfinished is unchanged for %gs, want two hours", s)
		}
		if out := mustRun(t, "saga", "types", "--store-url", url); !strings.Contains(out, "LONGEST UNCHANGED") || !strings.Contains(out, "2h0m") {
			t.Errorf("types are:\n%s", out)
		}
	})
}

func TestSagaShow(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, url string) {
		sagaDatabase(t, url)
		out := mustRun(t, "saga", "show", "create-order", "o-1", "--store-url", url)
		for _, want := range []string{"create-order o-1", "stuck", "2h0m", `customer is\nlocked`, "\"order\": \"o-1\"",
			"command ReserveCredit to customers", "stuck-undo", "local, pivot",
			"> create", "+15ms", "> reserve-credit", "+5s", "timed out", "< reserve-credit", "+20s", "attempt 10"} {
			if !strings.Contains(out, want) {
				t.Errorf("the saga is shown without %q:\n%s", want, out)
			}
		}
		s := decode[shownJSON](t, mustRun(t, "saga", "show", "create-order", "o-1", "-o", "json", "--store-url", url, "--entries", "2"))
		var data newOrder
		if err := json.Unmarshal(s.Data, &data); err != nil || data.Order != "o-1" {
			t.Errorf("the data is %s", s.Data)
		}
		if s.State != "stuck" || s.Earlier != 2 || len(s.Journal) != 2 || s.Journal[1].What != "stuck" || !s.Journal[1].Undo || s.Journal[1].Number != 4 {
			t.Errorf("the saga is %+v", s)
		}
		if out := mustRun(t, "saga", "show", "create-order", "o-1", "--entries", "1", "--store-url", url); !strings.Contains(out, "(3 entries before") {
			t.Errorf("with one entry:\n%s", out)
		}
		invoke(t, "saga", "show", "create-order", "o-9", "--store-url", url).fails(t, exitNegative, "no saga create-order o-9", "tidings saga list")
	})
}

func TestSagaWrongUsage(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		args string
		want []string
	}{
		{"saga lsit", []string{"did you mean list?"}},
		{"saga list --state stuk", []string{"--state", `"stuk" is not one of running, compensating, stuck`, "did you mean stuck?"}},
		{"saga list --state stuck,", []string{"--state", `"" is not one of`}},
		{"saga list --age ten", []string{"--age", "is not a duration"}},
		{"saga list --age -5m", []string{"--age: -5m0s is negative"}},
		{"saga list --limit 0", []string{"--limit: 0 is less than 1"}},
		{"saga list extra", []string{`unexpected argument "extra"`}},
		{"saga show create-order", []string{"ID is missing"}},
		{"saga show a b --entries -1", []string{"--entries", "0 is all"}},
		{"saga retry", []string{"TYPE and ID are missing", "--all-matching"}},
		{"saga retry create-order", []string{"ID is missing"}},
		{"saga retry create-order 1", []string{"--reason is missing"}},
		{"saga retry create-order 1 --all-matching --reason x", []string{"both a saga", "--all-matching"}},
		{"saga retry create-order 1 --type x --reason x", []string{"--type selects sagas for --all-matching"}},
		{"saga fail create-order 1 --step x --reason x", []string{"--step selects sagas for --all-matching"}},
		{"saga fail create-order 1 --state stuck --reason x", []string{"--state selects"}},
		{"saga retry --all-matching --yes --dry-run --reason x", []string{"both --dry-run and --yes"}},
		{"saga retry create-order 1 --wait -1s --reason x", []string{"--wait must not be negative"}},
		{"saga skip create-order 1 --outcome maybe --reason x", []string{`"maybe" is not one of success, failure`}},
		{"saga skip create-order 1 --reply {} --reason x", []string{"--reply-type is missing"}},
		{"saga skip create-order 1 --reply-type CreditReserved --reason x", []string{"--reply is missing", "CreditReserved"}},
		{"saga skip create-order 1 --reply-type CreditReserved --reply {x} --reason x", []string{"--reply is not JSON"}},
		{"saga skip create-order 1 --reply-type Gutschrift€ --reply {} --reason x", []string{"--reply-type", "printable ASCII"}},
		{"saga draw --fingerprint f1", []string{"TYPE is missing"}},
		{"saga draw a --format svg", []string{`"svg" is not one of text, mermaid, json`}},
		{"saga locks --older -1h", []string{"--older"}},
		{"saga locks --limit 0", []string{"--limit: 0"}},
		{"saga unlock kitchen", []string{"TARGET is missing"}},
		{"saga unlock kitchen Ticket/99", []string{"--reason is missing"}},
	} {
		t.Run(test.args, func(t *testing.T) {
			t.Parallel()
			r := invoke(t, append(strings.Fields(test.args), "--store-url", "sqlite:absent.db")...)
			r.fails(t, exitUsage, test.want...)
			if r.stdout != "" {
				t.Errorf("stdout should be empty:\n%s", r.stdout)
			}
		})
	}
}
