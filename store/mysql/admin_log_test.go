package mysql

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"tidings.example/admin"
	"tidings.example/relay"
)

func TestPlaceOf(t *testing.T) {
	t.Parallel()
	files := []LogFile{{"bin.000009", 100}, {"bin.000010", 200}, {"bin.000011", 300}}
	for _, test := range []struct {
		position         string
		behind, retained int64
	}{
		{"gtid:0-1-7,2-3-4@bin.000010:150+3", 350, 500},
		{"gtid:3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5@bin.000011:300/=,?", 0, 300},
		{"gtid:0-1-7@bin.000010:150~1795263117@vm:13306/=+3", 350, 500},
		{"file:bin.000009:4@host", 596, 600},
		{"file:bin.000008:4@host", -1, -1},
	} {
		file, offset, ok := placeOf(test.position)
		behind, retained := reach(files, file, offset)
		if !ok || behind != test.behind || retained != test.retained {
			t.Errorf("%s: %v, %d behind, %d retained, want %d and %d", test.position, ok, behind, retained, test.behind, test.retained)
		}
	}
	for _, bad := range []string{"", "0/16B3748+12", "gtid:0-1-7", "file:bin.000009"} {
		if file, at, ok := placeOf(bad); ok {
			t.Errorf("%q has place %s:%d", bad, file, at)
		}
	}
	if !older("bin.999999", "bin.1000000") || older("bin.000010", "bin.000009") || older("other.000001", "bin.000009") {
		t.Error("files are in a wrong order")
	}
}

// DropLog keeps nothing that the checkpoint counts as published, and has the next
// relay open an epoch.
func TestDropLog(t *testing.T) {
	t.Parallel()
	db, ctx := newDB(t), context.Background()
	s, st, err := db.Relay("test").Acquire(ctx, "a", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	insertAt(t, db, span(1, 10)...)
	if err := s.Commit(ctx, relay.Change{Epoch: &relay.Epoch{Name: "one", Lanes: 4, Identity: st.Now, Reason: "test"}}); err != nil {
		t.Fatal(err)
	}
	follow(t, s, relay.PositionSet{High: 8, Gaps: []relay.Range{{First: 3, Last: 3}}})
	if err := db.Admin().DropLog(ctx, because("tidy")); !errors.Is(err, admin.ErrInUse) {
		t.Errorf("DropLog while a relay reads: %v, want ErrInUse", err)
	}
	if err := s.Release(ctx); err != nil {
		t.Fatal(err)
	}
	if err := db.Admin().DropLog(ctx, because("tidy")); err != nil {
		t.Fatal(err)
	}
	if got := leftRows(t, db); !slices.Equal(got, []int64{3, 9, 10}) {
		t.Errorf("left: %v, want what is not published", got)
	}
	_, st = acquire(t, db, "b")
	if st.Epoch != "" || len(st.Log.Position) != 0 || st.Reading != relay.FromLog {
		t.Errorf("state: %+v, want no epoch and no position", st)
	}
}
