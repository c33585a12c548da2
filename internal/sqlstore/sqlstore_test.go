package sqlstore

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"tidings.example/relay"
)

func TestRuns(t *testing.T) {
	t.Parallel()
	got := Runs([]int64{9, 3, 4, 5, 5, 1, 10, 20})
	want := []relay.Range{{First: 1, Last: 1}, {First: 3, Last: 5}, {First: 9, Last: 10}, {First: 20, Last: 20}}
	if !slices.Equal(got, want) {
		t.Errorf("runs: %v, want %v", got, want)
	}
	if got := Runs(nil); len(got) != 0 {
		t.Errorf("runs of nothing: %v", got)
	}
}

func TestAppends(t *testing.T) {
	t.Parallel()
	for query, want := range map[string]bool{
		"INSERT INTO tidings_outbox (channel) VALUES (1)":                 true,
		"/* tidings */ INSERT INTO tidings_outbox VALUES (1)":             true,
		"\n insert into `tidings_outbox` values (1)":                      true,
		"REPLACE INTO tidings_outbox VALUES (1)":                          true,
		"WITH x AS (SELECT 1) INSERT INTO tidings_outbox SELECT * FROM x": true,
		"DELETE FROM tidings_outbox":                                      false,
		"SELECT * FROM tidings_outbox":                                    false,
		"INSERT INTO orders VALUES (1)":                                   false,
		"INSERT INTO tidings_outbox SELECT * FROM tidings_outbox_aside":   false,
		"": false,
	} {
		if got := Appends(query); got != want {
			t.Errorf("%q: %v", query, got)
		}
	}
}

func TestHub(t *testing.T) {
	t.Parallel()
	var h Hub
	h.Notify() // nobody listens
	a, stopA := h.Listen()
	b, stopB := h.Listen()
	h.Notify()
	h.Notify()
	<-a
	<-b
	stopA()
	h.Notify()
	<-b
	select {
	case <-a:
		t.Error("a stopped listener was told")
	default:
	}
	stopB()
	if n := h.listeners.Load(); n != 0 {
		t.Errorf("%d listeners", n)
	}
}

func TestRegistry(t *testing.T) {
	t.Parallel()
	var r Registry[int]
	a, giveUpA := r.Get("x")
	b, giveUpB := r.Get("x")
	other, giveUp := r.Get("y")
	defer giveUp()
	if a != b || a == other {
		t.Error("one key has two values, or two keys have one")
	}
	*a = 5
	giveUpA()
	giveUpA() // twice is once
	if c, giveUpC := r.Get("x"); *c != 5 {
		t.Error("a value was forgotten while somebody has it")
	} else {
		giveUpC()
	}
	giveUpB()
	if c, giveUpC := r.Get("x"); *c != 0 {
		t.Error("a value was kept after everybody gave it back")
	} else {
		giveUpC()
	}
}

func TestReason(t *testing.T) {
	t.Parallel()
	if got := Reason("a\x00b\xffc\nd"); got != "a b\ufffdc\nd" {
		t.Errorf("%q", got)
	}
	long := Reason(strings.Repeat("ä", MaxReason))
	if len(long) > MaxReason || len(long) < MaxReason-1 || !utf8.ValidString(long) {
		t.Errorf("%d bytes", len(long))
	}
}

func TestMissingTables(t *testing.T) {
	t.Parallel()
	if err := MissingTables(Tables, Tables); err != nil {
		t.Error(err)
	}
	if err := MissingTables(Tables, Tables[1:]); err == nil || !strings.Contains(err.Error(), Tables[0]) {
		t.Errorf("without %s: %v", Tables[0], err)
	}
	if err := MissingTables(Tables, Tables[2:]); err == nil || !strings.Contains(err.Error(), Tables[1]) {
		t.Errorf("without two: %v", err)
	}
}
