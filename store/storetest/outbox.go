package storetest

import (
	"errors"
	"strings"
	"time"

	"tidings.example"
)

func outboxTests[Tx any]() []testCase[Tx] {
	return []testCase[Tx]{
		{name: "committed rows are read in order, whole", run: testAppendWhole[Tx]},
		{name: "a rollback leaves nothing", run: testAppendRolledBack[Tx]},
		{name: "an invalid message writes nothing", run: testAppendInvalid[Tx]},
		{name: "the longest values fit", run: testAppendLongest[Tx]},
		{name: "many messages in one append keep their order", run: testAppendMany[Tx]},
		{name: "an append in an inbox transaction commits with it", run: testAppendInInbox[Tx]},
		{name: "rows of late commits are found below later ones", run: testLateCommit[Tx], twoWriters: true},
	}
}

func testAppendWhole[Tx any](e *env[Tx]) {
	full := tidings.Message{
		ID: "id-1", Channel: "orders.eu", Key: "Ключ-1", Type: "com.example/OrderCreated;v=2", Subject: "ein \"Betreff\" 'x' \\ 😀",
		Time: time.Date(2024, 2, 29, 23, 59, 59, 123456789, time.FixedZone("", 3600)), ContentType: "application/octet-stream",
		Headers: tidings.Headers{"tenant": "ä\"b\\c' 😀 </script>", "empty": "", "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
		Payload: []byte{0, 1, 2, 0xff, 0xfe, '\'', '\\', 0},
	}
	ms := []tidings.Message{full, message(""), {Channel: "c", Type: "T"}, message("k")}
	before := time.Now().Add(-time.Second)
	e.appendMessages(ms...)
	ids := map[string]bool{}
	for i := range ms {
		if ms[i].ID == "" || ids[ms[i].ID] {
			e.Errorf("message %d: the caller's copy has the id %q", i, ms[i].ID)
		}
		ids[ms[i].ID] = true
	}
	rows := e.read(e.session(), everything())
	e.wantRows(rows, ms)
	if got := rows[1].Message; got.Time.Before(before) || got.ContentType != "application/json" {
		e.Errorf("defaults: time %s, content type %q", got.Time, got.ContentType)
	}
}

func testAppendRolledBack[Tx any](e *env[Tx]) {
	tx, err := e.db.Begin(e.ctx)
	e.ok(err)
	e.ok(e.db.Outbox.Append(e.ctx, tx, message("a"), message("b")))
	e.ok(e.db.Rollback(e.ctx, tx))
	s := e.session()
	e.wantKeys(e.read(s, everything()))
	e.append("c")
	e.wantKeys(e.read(s, everything()), "c")
}

func testAppendInvalid[Tx any](e *env[Tx]) {
	e.inTx(func(tx Tx) error {
		bad := message("b")
		bad.Type = ""
		if err := e.db.Outbox.Append(e.ctx, tx, message("a"), bad); !errors.Is(err, tidings.ErrInvalid) {
			e.Errorf("append of an invalid message: %v", err)
		}
		return e.db.Outbox.Append(e.ctx, tx, message("c"))
	})
	e.wantKeys(e.read(e.session(), everything()), "c")
}

func testAppendLongest[Tx any](e *env[Tx]) {
	long := func(n int) string { return strings.Repeat("x", n) }
	m := tidings.Message{
		ID: long(tidings.MaxID), Channel: long(tidings.MaxName), Key: long(tidings.MaxKey-4) + "😀", Type: long(tidings.MaxType),
		Subject: long(tidings.MaxKey), Time: time.Date(9999, 12, 31, 23, 59, 59, 999999000, time.UTC), ContentType: long(tidings.MaxContentType),
		Headers: tidings.Headers{}, Payload: make([]byte, 900<<10),
	}
	for i := range tidings.MaxHeaders {
		m.Headers[long(tidings.MaxHeaderName-2)+string(rune('a'+i/26))+string(rune('a'+i%26))] = long(tidings.MaxHeaderValue)
	}
	for i := range m.Payload {
		m.Payload[i] = byte(i * i >> 3)
	}
	first := m
	first.ID, first.Time = "first", time.Unix(0, 0).UTC()
	e.appendMessages(first, m)
	s := e.session()
	rows := e.read(s, everything())
	e.wantRows(rows, []tidings.Message{first, m})
	// They can be set aside as well.
	key := heldBy(&m)
	e.commit(s, change(aside(rows[1].Position, key)))
	e.wantRows(e.read(s, everything()), []tidings.Message{first})
	e.commit(s, returns(key))
	e.wantRows(e.read(s, everything()), []tidings.Message{first, m})
}

func testAppendMany[Tx any](e *env[Tx]) {
	ms := make([]tidings.Message, 1000)
	for i := range ms {
		ms[i] = message("k")
		ms[i].Headers = tidings.Headers{"n": strings.Repeat("n", i%7)}
	}
	e.appendMessages(ms...)
	e.wantRows(e.read(e.session(), everything()), ms)
}

func testLateCommit[Tx any](e *env[Tx]) {
	early, err := e.db.Begin(e.ctx)
	e.ok(err)
	e.appendNow(early, "early")
	e.append("late")
	s := e.session()
	rows := e.read(s, everything())
	e.wantKeys(rows, "late")
	e.ok(e.db.Commit(e.ctx, early))
	high := rows[0].Position
	e.wantKeys(e.read(s, queryAbove(high)))
	e.wantKeys(e.read(s, queryRanges(1, high-1)), "early")
	q := queryAbove(high)
	q.Ranges = queryRanges(1, high-1).Ranges
	e.append("new")
	e.wantKeys(e.read(s, q), "early", "new")
}
