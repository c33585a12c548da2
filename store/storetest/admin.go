package storetest

import (
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"time"

	"tidings.example"
	"tidings.example/admin"
	"tidings.example/inbox"
	"tidings.example/relay"
)

func adminTests[Tx any]() []testCase[Tx] {
	return []testCase[Tx]{
		{name: "parked messages are listed and shown", run: testAdminListParked[Tx]},
		{name: "a parked message is edited", run: testAdminEdit[Tx]},
		{name: "a parked message is discarded and the next one retried", run: testAdminDiscard[Tx]},
		{name: "the last parked message is discarded", run: testAdminDiscardLast[Tx]},
		{name: "the backlog is described", run: testAdminBacklog[Tx]},
		{name: "a set-aside row is discarded and those behind it retried", run: testAdminDiscardAside[Tx]},
		{name: "what is not there is not found", run: testAdminNotFound[Tx]},
		{name: "a change needs a reason", run: testAdminReason[Tx]},
	}
}

func idsOf(ps []admin.ParkedMessage) []string {
	ids := make([]string, len(ps))
	for i, p := range ps {
		ids[i] = p.Message.ID
	}
	return ids
}

func testAdminListParked[Tx any](e *env[Tx]) {
	other := parked("b", "3")
	other.Message.Channel = "customers"
	keyless := parked("", "5")
	keyless.Message.Headers = tidings.Headers{"tenant": "x"}
	keyless.Message.Stamp = tidings.Stamp{Epoch: "one", Lane: 3, Sequence: 9}
	e.save(inbox.Changes{Park: []inbox.Parked{parked("a", "1"), parked("b", "2"), other, parked("a", "4"), keyless, parked("a", "6")}})
	all := e.listed(admin.ParkedFilter{})
	filters := []struct {
		name   string
		filter admin.ParkedFilter
		want   []string
	}{
		{"everything", admin.ParkedFilter{}, []string{"1", "2", "3", "4", "5", "6"}},
		{"subscriber", admin.ParkedFilter{Subscriber: subscriber, Limit: 5}, []string{"1", "2", "3", "4", "5"}},
		{"another subscriber", admin.ParkedFilter{Subscriber: "another"}, []string{}},
		{"channel", admin.ParkedFilter{Channel: "customers"}, []string{"3"}},
		{"key", admin.ParkedFilter{Key: "b"}, []string{"2", "3"}},
		{"channel and key", admin.ParkedFilter{Channel: "orders", Key: "b"}, []string{"2"}},
		{"heads", admin.ParkedFilter{Heads: true}, []string{"1", "2", "3", "5"}},
		{"heads after", admin.ParkedFilter{Heads: true, After: all[0].ID, Limit: 2}, []string{"2", "3"}},
		{"after", admin.ParkedFilter{After: all[3].ID}, []string{"5", "6"}},
	}
	for _, f := range filters {
		if got := idsOf(e.listed(f.filter)); !slices.Equal(got, f.want) {
			e.Errorf("%s: %v, want %v", f.name, got, f.want)
		}
	}
	for i, behind := range []int{0, 0, 0, 1, 0, 2} {
		p := all[i]
		if p.Behind != behind || p.RetryAsked || p.Subscriber != subscriber || p.Message.Payload != nil || p.Attempts != 5 || p.Reason == "" {
			e.Errorf("listed: %+v", p)
		}
	}
	e.ok(e.db.Admin.RetryParked(e.ctx, all[0].ID, because("fixed")))
	got, err := e.db.Admin.GetParked(e.ctx, all[3].ID)
	e.ok(err)
	if !got.RetryAsked || got.Behind != 1 || time.Since(got.ParkedAt).Abs() > time.Minute {
		e.Errorf("shown: %+v", got)
	}
	if got, err = e.db.Admin.GetParked(e.ctx, all[4].ID); err != nil || got.RetryAsked {
		e.Errorf("shown: %+v, %v", got, err)
	}
	if diff := sameMessage(got.Message, keyless.Message); diff != "" {
		e.Error(diff)
	}
}

// audited checks the last row of the audit table.
func (e *env[Tx]) audited(reason string, contains ...string) {
	e.Helper()
	rows, err := e.db.Audit(e.ctx)
	e.ok(err)
	if len(rows) == 0 {
		e.Fatal("the audit table is empty")
	}
	last := rows[len(rows)-1]
	if last.Actor != "ada" || last.Reason != reason || last.Action == "" || last.Target == "" {
		e.Errorf("audit: %+v", last)
	}
	for _, text := range contains {
		if !strings.Contains(last.Detail, text) && !strings.Contains(last.Detail, base64.StdEncoding.EncodeToString([]byte(text))) {
			e.Errorf("audit detail %q lacks %q", last.Detail, text)
		}
	}
}

func testAdminEdit[Tx any](e *env[Tx]) {
	p := parked("a", "1")
	p.Message.Payload = []byte(`before`)
	e.save(inbox.Changes{Park: []inbox.Parked{p}})
	id := e.listed(admin.ParkedFilter{})[0].ID
	e.ok(e.db.Admin.EditParked(e.ctx, id, []byte{0, 0xff, 'x'}, because("typo")))
	e.audited("typo", "before")
	p.Message.Payload = []byte{0, 0xff, 'x'}
	got := e.first(parkedKey("a"), false)
	if got == nil {
		e.Fatal("the message is gone")
	}
	if diff := sameMessage(got.Message, p.Message); diff != "" {
		e.Error(diff)
	}
}

func testAdminDiscard[Tx any](e *env[Tx]) {
	p := parked("a", "1")
	p.Message.Payload = []byte(`precious`)
	e.save(inbox.Changes{Park: []inbox.Parked{p, parked("a", "2")}})
	id := e.listed(admin.ParkedFilter{})[0].ID
	e.ok(e.db.Admin.DiscardParked(e.ctx, id, because("obsolete")))
	e.audited("obsolete", "precious", `"1"`)
	if keys := e.requests(10); !slices.Equal(keys, []inbox.HeldKey{parkedKey("a")}) {
		e.Errorf("requests: %v", keys)
	}
	if got := e.first(parkedKey("a"), false); got == nil || got.Message.ID != "2" {
		e.Errorf("next is %+v", got)
	}
	if err := e.db.Admin.DiscardParked(e.ctx, id, because("again")); !errors.Is(err, admin.ErrNotFound) {
		e.Errorf("discard again: %v", err)
	}
}

func testAdminDiscardLast[Tx any](e *env[Tx]) {
	e.save(inbox.Changes{Park: []inbox.Parked{parked("a", "1")}})
	e.ok(e.db.Admin.DiscardParked(e.ctx, e.listed(admin.ParkedFilter{})[0].ID, because("obsolete")))
	// The key is free, or the inbox is asked to find that out.
	for _, key := range e.requests(10) {
		if p := e.first(key, false); p != nil {
			e.Errorf("there is still %+v", p)
		}
	}
	if e.held(parkedKey("a")) || len(e.requests(10)) != 0 {
		e.Error("the key is still held")
	}
}

func testAdminBacklog[Tx any](e *env[Tx]) {
	b, err := e.db.Admin.Backlog(e.ctx)
	e.ok(err)
	if b != (admin.Backlog{}) {
		e.Errorf("of a new database: %+v", b)
	}
	old := message("a")
	old.Time = time.Now().Add(-time.Hour)
	e.appendMessages(old, message("b"), message("c"))
	s, st := e.acquire("relay-1", time.Minute)
	e.commit(s, relay.Change{Epoch: epoch("one")})
	at := positionsOf(e.read(s, everything()))
	e.commit(s, change(aside(at[1], relay.HeldKey{Channel: "orders", Key: "b"})))
	b, err = e.db.Admin.Backlog(e.ctx)
	e.ok(err)
	if b.Rows != 2 || b.SetAside != 1 || b.Source != source || b.Holder != "relay-1" || b.Fence != st.Fence || b.Epoch != "one" ||
		b.Expires <= 0 || b.Expires > time.Minute || b.Oldest < 59*time.Minute || b.Oldest > 61*time.Minute {
		e.Errorf("backlog: %+v", b)
	}
	short, _, err := e.db.Relay(source).Acquire(e.ctx, "relay-1", time.Millisecond)
	e.ok(err)
	e.releaseLater(short)
	e.until("the lease to expire", func() bool {
		b, err = e.db.Admin.Backlog(e.ctx)
		e.ok(err)
		return b.Holder == ""
	})
}

func testAdminDiscardAside[Tx any](e *env[Tx]) {
	ms := e.append("a", "a", "b")
	s := e.session()
	at := positionsOf(e.read(s, everything()))
	a := heldBy(&ms[0])
	e.commit(s, change(aside(at[0], a), aside(at[1], a), aside(at[2], heldBy(&ms[2]))))
	e.ok(e.db.Admin.DiscardSetAside(e.ctx, at[0], because("hopeless")))
	e.audited("hopeless", string(ms[0].Payload), ms[0].ID)
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
	e.commit(s, returns(a))
	e.wantRows(e.read(s, everything()), ms[1:2])
	e.ok(e.db.Admin.DiscardSetAside(e.ctx, at[2], because("hopeless too")))
	e.wantHeld(s)
	e.ok(e.db.Admin.DiscardSetAside(e.ctx, e.setAsideOne(s), because("keyless")))
}

// setAsideOne appends a row without a key and sets it aside.
func (e *env[Tx]) setAsideOne(s relay.Session) int64 {
	e.Helper()
	e.append("")
	rows := e.read(s, everything())
	last := rows[len(rows)-1]
	e.commit(s, change(aside(last.Position, heldBy(&last.Message))))
	return last.Position
}

func testAdminNotFound[Tx any](e *env[Tx]) {
	_, err := e.db.Admin.GetParked(e.ctx, 42)
	for what, err := range map[string]error{
		"get":           err,
		"retry":         e.db.Admin.RetryParked(e.ctx, 42, because("x")),
		"edit":          e.db.Admin.EditParked(e.ctx, 42, nil, because("x")),
		"discard":       e.db.Admin.DiscardParked(e.ctx, 42, because("x")),
		"retry aside":   e.db.Admin.RetrySetAside(e.ctx, "orders", "k", because("x")),
		"discard aside": e.db.Admin.DiscardSetAside(e.ctx, 42, because("x")),
	} {
		if !errors.Is(err, admin.ErrNotFound) {
			e.Errorf("%s: %v, want ErrNotFound", what, err)
		}
	}
	if rows, err := e.db.Audit(e.ctx); err != nil || len(rows) != 0 {
		e.Errorf("audit: %+v, %v", rows, err)
	}
}

func testAdminReason[Tx any](e *env[Tx]) {
	e.save(inbox.Changes{Park: []inbox.Parked{parked("a", "1")}})
	id := e.listed(admin.ParkedFilter{})[0].ID
	ms := e.append("a")
	s := e.session()
	at := positionsOf(e.read(s, everything()))
	e.commit(s, change(aside(at[0], heldBy(&ms[0]))))
	for _, bad := range []admin.Action{{Actor: "ada"}, {Reason: "x"}, {Actor: "ada", Reason: strings.Repeat("x", 1001)}} {
		for what, err := range map[string]error{
			"retry":         e.db.Admin.RetryParked(e.ctx, id, bad),
			"edit":          e.db.Admin.EditParked(e.ctx, id, nil, bad),
			"discard":       e.db.Admin.DiscardParked(e.ctx, id, bad),
			"retry aside":   e.db.Admin.RetrySetAside(e.ctx, "orders", "a", bad),
			"discard aside": e.db.Admin.DiscardSetAside(e.ctx, at[0], bad),
		} {
			if err == nil {
				e.Errorf("%s by %+v is taken", what, bad)
			}
		}
	}
	if len(e.requests(10)) != 0 || e.first(parkedKey("a"), false) == nil {
		e.Error("something changed")
	}
	if all, err := e.db.Admin.ListSetAside(e.ctx, 0); err != nil || len(all) != 1 || all[0].RetryAsked {
		e.Errorf("something changed: %+v, %v", all, err)
	}
	if rows, err := e.db.Audit(e.ctx); err != nil || len(rows) != 0 {
		e.Errorf("audit: %+v, %v", rows, err)
	}
}
