package storetest

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"

	"tidings.example"
	"tidings.example/admin"
	"tidings.example/relay"
)

// RunLogState runs the tests of what a store with a log remembers for a relay that
// reads it: checkpoint, wish, rows that were set aside from the log. None of them
// reads a log; see [RunLog] for that. The databases' Admin must be an [admin.Log].
func RunLogState[Tx any](t *testing.T, open func(t *testing.T) DB[Tx]) {
	t.Helper()
	for _, test := range []struct {
		name string
		run  func(e *env[Tx])
	}{
		{"a new outbox is read from the table", testLogStateNew[Tx]},
		{"a checkpoint outlives a session", testLogStateCheckpoint[Tx]},
		{"a fenced session changes nothing of it", testLogStateFenced[Tx]},
		{"a wish is told until it is fulfilled or withdrawn", testLogStateAsked[Tx]},
		{"a switch to the table removes what was published, and nothing else", testLogStateToTable[Tx]},
		{"a switch to the table with its checkpoint removes by that one", testLogStateToTableWithCheckpoint[Tx]},
		{"the table is not asked for while it would lose messages", testLogStateTableless[Tx]},
		{"rows from the log are set aside as they are", testLogStateSetAside[Tx]},
		{"rows without a position get one each", testLogStateSetAsideTableless[Tx]},
		{"a message is set aside once", testLogStateSetAsideTwice[Tx]},
		{"set-aside rows are done, or kept", testLogStateDoneAside[Tx]},
		{"a plan of set-aside rows is told from others", testLogStatePlan[Tx]},
		{"the backlog is what is not published", testLogStateBacklog[Tx]},
		{"no log is dropped where there is none", testLogStateDrop[Tx]},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.run(newEnv(t, open(t)))
		})
	}
}

func (e *env[Tx]) logAdmin() admin.Log {
	e.Helper()
	a, ok := e.db.Admin.(admin.Log)
	if !ok {
		e.Fatalf("%T is no admin.Log", e.db.Admin)
	}
	return a
}

func (e *env[Tx]) logStatus() admin.LogStatus {
	e.Helper()
	st, err := e.logAdmin().LogStatus(e.ctx)
	e.ok(err)
	return st
}

// again takes the lease once more, as the same holder, and returns what is remembered.
func (e *env[Tx]) again() (relay.Session, relay.State) {
	e.Helper()
	return e.acquire("relay-1", time.Hour)
}

func published(high int64, gaps ...relay.Range) []byte {
	set := relay.PositionSet{High: high, Gaps: gaps}
	return set.Encode()
}

func checkpoint(position string, set []byte) *relay.Checkpoint {
	return &relay.Checkpoint{Position: []byte(position), Published: set}
}

// positions are texts that the databases of the suite's stores take.
const (
	position1 = "0/16B3748"
	position2 = "0/16B3748+12"
)

func (e *env[Tx]) wantLog(got relay.Checkpoint, want relay.Checkpoint) {
	e.Helper()
	if !bytes.Equal(got.Position, want.Position) || !bytes.Equal(got.Aside, want.Aside) ||
		!bytes.Equal(got.Published, want.Published) || !got.Tableless.Equal(want.Tableless) {
		e.Errorf("checkpoint %+v, want %+v", got, want)
	}
}

func testLogStateNew[Tx any](e *env[Tx]) {
	st := e.logStatus()
	if st.Reading != "table" || st.Asked != "" || st.Position != "" || st.Active || st.Lost != "" || st.Published != 0 || !st.SavedAt.IsZero() {
		e.Errorf("status: %+v", st)
	}
	_, state := e.again()
	if state.Reading != relay.FromTable || state.Asked != "" || !reflect.ValueOf(state.Log).IsZero() {
		e.Errorf("state: %+v", state)
	}
}

func testLogStateCheckpoint[Tx any](e *env[Tx]) {
	s, _ := e.again()
	first := relay.Checkpoint{Position: []byte(position1), Aside: relay.EncodePositions([]int64{3, 5}),
		Published: published(40, relay.Range{First: 7, Last: 9}), Tableless: time.Now().Add(-time.Hour).Truncate(time.Millisecond).UTC()}
	counters := map[string][]byte{"orders": relay.Counters{1, 2}.Encode()}
	e.commit(s, relay.Change{Reading: relay.FromLog, Log: &first, Counters: counters})
	s, state := e.again()
	if state.Reading != relay.FromLog || !bytes.Equal(state.Counters["orders"], counters["orders"]) {
		e.Errorf("state: %+v", state)
	}
	e.wantLog(state.Log, first)
	if st := e.logStatus(); st.Reading != "log" || st.Position == "" || time.Since(st.SavedAt).Abs() > time.Minute || !st.Tableless.Equal(first.Tableless) {
		e.Errorf("status: %+v", st)
	}

	second := relay.Checkpoint{Position: []byte(position2), Published: published(90)}
	e.commit(s, relay.Change{Log: &second})
	s, state = e.again()
	e.wantLog(state.Log, second)
	// Other changes leave it alone.
	e.commit(s, relay.Change{Epoch: epoch("one")})
	s, state = e.again()
	e.wantLog(state.Log, second)
	if state.Reading != relay.FromLog {
		e.Errorf("a change of the epoch changed the reading to %q", state.Reading)
	}
	e.commit(s, relay.Change{Log: &relay.Checkpoint{}})
	_, state = e.again()
	if !reflect.ValueOf(state.Log).IsZero() || state.Reading != relay.FromLog {
		e.Errorf("a checkpoint that was removed: %+v", state)
	}
}

func testLogStateFenced[Tx any](e *env[Tx]) {
	ms := e.append("a", "b")
	old := e.session()
	rows := e.read(old, everything())
	s, _ := e.again()
	set := published(rows[0].Position)
	e.commit(s, relay.Change{Reading: relay.FromLog, Log: checkpoint(position1, set)})
	e.commit(s, change(relay.SetAside{Position: rows[1].Position, Key: heldBy(&ms[1]), Reason: "bad", Row: &rows[1]}))
	for what, c := range map[string]relay.Change{
		"checkpoint":   {Log: checkpoint(position2, published(1<<40))},
		"no log":       {Log: &relay.Checkpoint{}},
		"to the table": {Reading: relay.FromTable, Log: checkpoint(position2, published(1<<40))},
		"to the log":   {Reading: relay.FromLog},
		"done aside":   {DoneAside: []int64{rows[1].Position}},
		"keep aside":   {KeepAside: []relay.SetAside{{Position: rows[1].Position, Key: heldBy(&ms[1]), Reason: "zombie"}}},
		"set aside":    change(relay.SetAside{Position: rows[0].Position, Key: heldBy(&ms[0]), Reason: "zombie", Row: &rows[0]}),
		"plan":         {Plan: &relay.Plan{ID: 9, Positions: relay.EncodePositions([]int64{1}), Aside: true}},
	} {
		if err := old.Commit(e.ctx, c); !errors.Is(err, relay.ErrFenced) {
			e.Errorf("%s by a fenced session: %v", what, err)
		}
	}
	s, state := e.again()
	e.wantLog(state.Log, *checkpoint(position1, set))
	if state.Reading != relay.FromLog || len(state.Plans) != 0 || len(state.Held) != 1 {
		e.Errorf("state: %+v", state)
	}
	e.wantKeys(e.read(s, everything()), "a", "b")
	if all, err := e.db.Admin.ListSetAside(e.ctx, 0); err != nil || len(all) != 1 || all[0].Reason != "bad" {
		e.Errorf("set aside: %+v, %v", all, err)
	}
}

func (e *env[Tx]) wantAsked(s relay.Session, want relay.Reading) {
	e.Helper()
	renewal, err := s.Renew(e.ctx)
	e.ok(err)
	if st := e.logStatus(); renewal.Asked != want || st.Asked != string(want) {
		e.Errorf("a renewal tells of %q and the status of %q, want %q", renewal.Asked, st.Asked, want)
	}
}

func testLogStateAsked[Tx any](e *env[Tx]) {
	a := e.logAdmin()
	// There need not be a relay yet.
	e.ok(a.AskReading(e.ctx, "log", false, because("faster")))
	e.audited("faster")
	s, state := e.again()
	if state.Asked != relay.FromLog || state.Reading != relay.FromTable {
		e.Errorf("state: %+v", state)
	}
	e.wantAsked(s, relay.FromLog)
	e.ok(a.AskReading(e.ctx, "table", false, because("not yet")))
	e.wantAsked(s, "")
	e.ok(a.AskReading(e.ctx, "log", false, because("now")))
	e.commit(s, relay.Change{Log: checkpoint(position1, published(1))})
	e.wantAsked(s, relay.FromLog)
	e.commit(s, relay.Change{Reading: relay.FromLog})
	e.wantAsked(s, "")
	e.ok(a.AskReading(e.ctx, "table", false, because("back")))
	e.wantAsked(s, relay.FromTable)
	if err := a.AskReading(e.ctx, "table", false, admin.Action{Actor: "ada"}); err == nil {
		e.Error("asked without a reason")
	}
	if err := a.AskReading(e.ctx, "elsewhere", false, because("x")); err == nil {
		e.Error("asked to read from elsewhere")
	}
}

// publishedSet encodes the positions of those rows.
func (e *env[Tx]) publishedSet(rows []relay.Row, which ...int) []byte {
	e.Helper()
	var set relay.PositionSet
	last := int64(-1 << 62)
	for i, p := range positionsOf(rows) {
		if !slices.Contains(which, i) {
			continue
		}
		if p > last+1 {
			set.Gaps = append(set.Gaps, relay.Range{First: last + 1, Last: p - 1})
		}
		last = p
	}
	set.High = last
	return set.Encode()
}

func testLogStateToTable[Tx any](e *env[Tx]) {
	ms := e.append("a", "b", "c", "d", "e", "f")
	s := e.session()
	rows := e.read(s, everything())
	e.commit(s, relay.Change{Reading: relay.FromLog, Log: checkpoint(position1, e.publishedSet(rows, 0, 1, 3))})
	// A row that was set aside counts as published. It returns as before.
	e.commit(s, change(relay.SetAside{Position: rows[3].Position, Key: heldBy(&ms[3]), Reason: "bad", Row: &rows[3]}))
	e.commit(s, relay.Change{Reading: relay.FromTable})
	e.wantRows(e.read(s, everything()), []tidings.Message{ms[2], ms[4], ms[5]})
	s, state := e.again()
	if state.Reading != relay.FromTable || !reflect.ValueOf(state.Log).IsZero() || len(state.Held) != 1 {
		e.Errorf("state: %+v", state)
	}
	e.commit(s, returns(heldBy(&ms[3])))
	e.wantRows(e.read(s, everything()), []tidings.Message{ms[2], ms[3], ms[4], ms[5]})
	if st := e.logStatus(); st.Reading != "table" || st.Position != "" || st.Published != 0 {
		e.Errorf("status: %+v", st)
	}
}

func testLogStateToTableWithCheckpoint[Tx any](e *env[Tx]) {
	ms := e.append("a", "b", "c", "d")
	s := e.session()
	rows := e.read(s, everything())
	e.commit(s, relay.Change{Reading: relay.FromLog, Log: checkpoint(position1, e.publishedSet(rows, 0))})
	e.commit(s, relay.Change{Reading: relay.FromTable, Log: checkpoint(position2, e.publishedSet(rows, 0, 1, 2)),
		Counters: map[string][]byte{"orders": relay.Counters{3}.Encode()}})
	e.wantRows(e.read(s, everything()), ms[3:])
	// Without a checkpoint nothing is known to be published.
	e.commit(s, relay.Change{Reading: relay.FromLog})
	e.commit(s, relay.Change{Reading: relay.FromTable})
	e.wantRows(e.read(s, everything()), ms[3:])
}

func testLogStateTableless[Tx any](e *env[Tx]) {
	a, s := e.logAdmin(), e.session()
	at := func(age time.Duration) {
		e.Helper()
		c := checkpoint(position1, published(1))
		c.Tableless = time.Now().Add(-age).UTC()
		e.commit(s, relay.Change{Reading: relay.FromLog, Log: c})
	}
	at(time.Hour)
	if err := a.AskReading(e.ctx, "table", false, because("back")); !errors.Is(err, admin.ErrTableless) {
		e.Errorf("asked for the table an hour after a message that is not in it: %v", err)
	}
	e.wantAsked(s, "")
	e.ok(a.AskReading(e.ctx, "table", true, because("I know")))
	e.wantAsked(s, relay.FromTable)
	e.ok(a.AskReading(e.ctx, "log", false, because("sorry")))
	at(25 * time.Hour)
	e.ok(a.AskReading(e.ctx, "table", false, because("a day later")))
	e.wantAsked(s, relay.FromTable)
}

func testLogStateSetAside[Tx any](e *env[Tx]) {
	whole := message("b")
	whole.Headers = tidings.Headers{"tenant": "x", "note": "ü \"quoted\" {},"}
	whole.Subject, whole.ContentType, whole.Payload = "about", "application/octet-stream", []byte{0, 0xff, '\\', '\'', 'x'}
	plain := message("a")
	keyless := message("")
	keyless.Payload = []byte{}
	e.appendMessages(plain, whole, keyless)
	s := e.session()
	rows := e.read(s, everything())
	e.commit(s, relay.Change{Reading: relay.FromLog})
	var all []relay.SetAside
	for _, i := range []int{2, 0, 1} {
		all = append(all, relay.SetAside{Position: rows[i].Position, Key: heldBy(&rows[i].Message), Reason: "bad " + rows[i].Message.Key, Row: &rows[i]})
	}
	e.commit(s, relay.Change{SetAside: all, Log: checkpoint(position1, published(rows[2].Position))})
	if got := e.read(s, everything()); len(got) != 3 {
		e.Errorf("%d rows are in the table, want the 3 that were there", len(got))
	}
	listed, err := e.db.Admin.ListSetAside(e.ctx, 0)
	e.ok(err)
	if len(listed) != 3 {
		e.Fatalf("%d set-aside rows", len(listed))
	}
	for i := range listed {
		if listed[i].Position != rows[i].Position || listed[i].Reason != "bad "+rows[i].Message.Key {
			e.Errorf("set-aside row %d: %+v", i, listed[i])
		}
		if diff := sameMessage(listed[i].Message, rows[i].Message); diff != "" {
			e.Errorf("set-aside row %d: %s", i, diff)
		}
	}
	e.wantHeld(s, heldBy(&rows[0].Message), heldBy(&rows[1].Message), relay.HeldKey{Channel: "orders"})
}

func testLogStateSetAsideTableless[Tx any](e *env[Tx]) {
	e.append("x")
	s := e.session()
	at := e.read(s, everything())[0].Position
	rows := make([]relay.Row, 6)
	for i := range rows {
		rows[i].Message = message("k")
		rows[i].Message.ID, rows[i].Message.Time = tidings.NewID(), time.Now().UTC().Truncate(time.Microsecond)
		rows[i].Message.ContentType = "application/json"
	}
	key := heldBy(&rows[0].Message)
	e.commit(s, relay.Change{Reading: relay.FromLog})
	var first []relay.SetAside
	for i := range rows[:4] {
		first = append(first, relay.SetAside{Key: key, Reason: "bad", Row: &rows[i]})
	}
	e.commit(s, change(first...))
	seen := map[int64]string{at: "the row in the table"}
	check := func(want []relay.Row) []int64 {
		e.Helper()
		listed, err := e.db.Admin.ListSetAside(e.ctx, 0)
		e.ok(err)
		if len(listed) != len(want) {
			e.Fatalf("%d set-aside rows, want %d", len(listed), len(want))
		}
		for i, l := range listed {
			if before, ok := seen[l.Position]; ok && before != l.Message.ID {
				e.Errorf("position %d was given before, to %s", l.Position, before)
			}
			seen[l.Position] = l.Message.ID
			if diff := sameMessage(l.Message, want[i].Message); diff != "" {
				e.Errorf("set-aside row %d: %s", i, diff)
			}
		}
		ps := make([]int64, len(listed))
		for i := range listed {
			ps[i] = listed[i].Position
		}
		return ps
	}
	ps := check(rows[:4])
	// A position of one that is gone is not given again: somebody may be about
	// to discard it.
	e.commit(s, relay.Change{DoneAside: ps[2:]})
	e.commit(s, change(relay.SetAside{Key: key, Reason: "bad", Row: &rows[4]}, relay.SetAside{Key: key, Reason: "bad", Row: &rows[5]}))
	check([]relay.Row{rows[0], rows[1], rows[4], rows[5]})
	// Nor does a row that is appended meet them.
	e.append("y")
	for _, r := range e.read(s, everything()) {
		if owner, ok := seen[r.Position]; ok && r.Position != at {
			e.Errorf("an appended row has position %d, of %s", r.Position, owner)
		}
	}
}

func testLogStateSetAsideTwice[Tx any](e *env[Tx]) {
	ms := e.append("a")
	s := e.session()
	rows := e.read(s, everything())
	a := relay.SetAside{Position: rows[0].Position, Key: heldBy(&ms[0]), Reason: "bad", Row: &rows[0]}
	e.commit(s, change(a))
	e.commit(s, change(a))
	other := rows[0]
	other.Message.ID, other.Message.Key = tidings.NewID(), "other"
	e.commit(s, change(relay.SetAside{Position: other.Position, Key: heldBy(&other.Message), Reason: "bad", Row: &other}))
	listed, err := e.db.Admin.ListSetAside(e.ctx, 0)
	e.ok(err)
	if len(listed) != 2 || listed[0].Message.ID == listed[1].Message.ID {
		e.Errorf("set aside: %+v, want each message once", listed)
	}
}

func testLogStateDoneAside[Tx any](e *env[Tx]) {
	ms := e.append("a", "a", "b", "b")
	s := e.session()
	rows := e.read(s, everything())
	var all []relay.SetAside
	for i := range rows {
		all = append(all, relay.SetAside{Position: rows[i].Position, Key: heldBy(&ms[i]), Reason: "bad", Row: &rows[i]})
	}
	e.commit(s, relay.Change{Reading: relay.FromLog, SetAside: all})
	e.ok(e.db.Admin.RetrySetAside(e.ctx, "orders", "a", because("again")))
	e.ok(e.db.Admin.RetrySetAside(e.ctx, "orders", "b", because("again")))
	still := all[2]
	still.Reason, still.Row = "still bad", nil
	e.commit(s, relay.Change{DoneAside: []int64{rows[0].Position, 1 << 40}, KeepAside: []relay.SetAside{still}})
	renewal, err := s.Renew(e.ctx)
	e.ok(err)
	if len(renewal.Held) != 2 {
		e.Errorf("held: %+v", renewal.Held)
	}
	for _, k := range renewal.Held {
		if k.Retry != (k.Key == "a") {
			e.Errorf("held: %+v", k)
		}
	}
	listed, err := e.db.Admin.ListSetAside(e.ctx, 0)
	e.ok(err)
	var reasons []string
	for _, l := range listed {
		reasons = append(reasons, l.Message.Key+": "+l.Reason)
	}
	if want := []string{"a: bad", "b: still bad", "b: bad"}; !slices.Equal(reasons, want) {
		e.Errorf("set aside: %q, want %q", reasons, want)
	}
	e.wantRows(e.read(s, everything()), ms)
	e.commit(s, relay.Change{DoneAside: []int64{rows[1].Position}})
	e.wantHeld(s, heldBy(&ms[2]))
}

func testLogStatePlan[Tx any](e *env[Tx]) {
	s := e.session()
	e.commit(s, relay.Change{Epoch: epoch("one")})
	e.commit(s, relay.Change{Plan: &relay.Plan{ID: 1, Positions: relay.EncodePositions([]int64{1})}})
	e.commit(s, relay.Change{Plan: &relay.Plan{ID: 2, Positions: relay.EncodePositions([]int64{2}), Aside: true}})
	_, state := e.again()
	if len(state.Plans) != 2 || state.Plans[0].Aside || !state.Plans[1].Aside {
		got, _ := json.Marshal(state.Plans)
		e.Errorf("plans: %s", got)
	}
}

func testLogStateBacklog[Tx any](e *env[Tx]) {
	old, older := message("a"), message("b")
	older.Time, old.Time = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
	e.appendMessages(older, old, message("c"), message("d"))
	s := e.session()
	rows := e.read(s, everything())
	e.commit(s, relay.Change{Reading: relay.FromLog, Log: checkpoint(position1, e.publishedSet(rows, 0, 2))})
	b, err := e.db.Admin.Backlog(e.ctx)
	e.ok(err)
	if b.Rows != 2 || b.Oldest < 59*time.Minute || b.Oldest > 61*time.Minute {
		e.Errorf("backlog: %+v, want 2 rows, the oldest of an hour ago", b)
	}
	if st := e.logStatus(); st.Published != 2 {
		e.Errorf("%d published rows are in the table, want 2", st.Published)
	}
	e.commit(s, relay.Change{Log: checkpoint(position1, e.publishedSet(rows, 0, 1, 2, 3))})
	b, err = e.db.Admin.Backlog(e.ctx)
	e.ok(err)
	if b.Rows != 0 || b.Oldest != 0 {
		e.Errorf("backlog: %+v, want none", b)
	}
}

func testLogStateDrop[Tx any](e *env[Tx]) {
	if err := e.logAdmin().DropLog(e.ctx, because("tidy")); !errors.Is(err, admin.ErrNotFound) {
		e.Errorf("drop: %v, want ErrNotFound", err)
	}
	if rows, err := e.db.Audit(e.ctx); err != nil || len(rows) != 0 {
		e.Errorf("audit: %+v, %v", rows, err)
	}
}
