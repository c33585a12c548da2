package storetest

import (
	"fmt"
	"strings"
	"time"

	"tidings.example"
	"tidings.example/relay"
)

func readTests[Tx any]() []testCase[Tx] {
	return []testCase[Tx]{
		{name: "both parts of a query keep their limits", run: testReadLimits[Tx]},
		{name: "a part ends once it has enough bytes", run: testReadBytes[Tx]},
		{name: "thousands of ranges in one query", run: testReadManyRanges[Tx]},
		{name: "rows inserted by hand get defaults", run: testReadByHand[Tx]},
		{name: "bad rows are refused or come with an error", run: testReadBadRows[Tx]},
	}
}

func queryAbove(position int64) relay.Query {
	return relay.Query{After: position, Limit: 1000, Bytes: 1 << 30, RangeLimit: 1000}
}

// queryRanges takes pairs of first and last positions.
func queryRanges(bounds ...int64) relay.Query {
	var q relay.Query
	for i := 0; i < len(bounds); i += 2 {
		q.Ranges = append(q.Ranges, relay.Range{First: bounds[i], Last: bounds[i+1]})
	}
	return q
}

func testReadLimits[Tx any](e *env[Tx]) {
	s := e.session()
	if rows := e.read(s, everything()); len(rows) != 0 {
		e.Fatalf("read %d rows from an empty outbox", len(rows))
	}
	e.append("a", "b", "c", "d", "e", "f", "g", "h")
	all := e.read(s, everything())
	e.wantKeys(all, "a", "b", "c", "d", "e", "f", "g", "h")
	at := positionsOf(all)

	e.wantKeys(e.read(s, relay.Query{Limit: 3}), "a", "b", "c")
	e.wantKeys(e.read(s, relay.Query{After: at[2], Limit: 2}), "d", "e")
	e.wantKeys(e.read(s, relay.Query{After: at[7], Limit: 2}))
	e.wantKeys(e.read(s, queryRanges(at[1], at[1], at[3], at[5])), "b", "d", "e", "f")
	e.wantKeys(e.read(s, queryRanges(1, at[7]+100)), "a", "b", "c", "d", "e", "f", "g", "h")

	limited := queryRanges(at[0], at[2], at[4], at[5])
	limited.RangeLimit = 4
	e.wantKeys(e.read(s, limited), "a", "b", "c", "e")
	limited.After, limited.Limit = at[6], 5
	e.wantKeys(e.read(s, limited), "a", "b", "c", "e", "h")
	limited.RangeLimit = 1
	e.wantKeys(e.read(s, limited), "a", "h")
}

func testReadBytes[Tx any](e *env[Tx]) {
	var ms []tidings.Message
	for i := range 20 {
		m := message(fmt.Sprint(i))
		m.Payload = make([]byte, 1000)
		ms = append(ms, m)
	}
	e.appendMessages(ms...)
	s := e.session()
	e.wantRows(e.read(s, relay.Query{Limit: 100, Bytes: 2500}), ms[:3])
	e.wantRows(e.read(s, relay.Query{Limit: 100, Bytes: 3000}), ms[:3])
	e.wantRows(e.read(s, relay.Query{Limit: 100, Bytes: 1}), ms[:1])
	e.wantRows(e.read(s, relay.Query{Limit: 2, Bytes: 100_000}), ms[:2])
	// The bound is only about what is above After.
	at := positionsOf(e.read(s, everything()))
	q := relay.Query{Ranges: queryRanges(at[0], at[9]).Ranges, RangeLimit: 100, After: at[9], Limit: 100, Bytes: 1500}
	e.wantRows(e.read(s, q), ms[:12])
}

func testReadManyRanges[Tx any](e *env[Tx]) {
	ms := make([]tidings.Message, 4500)
	for i := range ms {
		ms[i] = message("")
	}
	e.appendMessages(ms...)
	s := e.session()
	at := positionsOf(e.read(s, everything()))
	var q relay.Query
	var want []tidings.Message
	for i := 0; i < 4000*9/8; i += 9 {
		q.Ranges = append(q.Ranges, relay.Range{First: at[i], Last: at[i]})
		want = append(want, ms[i])
	}
	for i := 1; len(q.Ranges) < 4096; i++ { // where nothing is
		p := at[len(at)-1] + int64(2*i)
		q.Ranges = append(q.Ranges, relay.Range{First: p, Last: p})
	}
	e.wantRows(e.read(s, q), want)
}

func testReadByHand[Tx any](e *env[Tx]) {
	if e.db.Exec == nil {
		return
	}
	for range 2 {
		e.ok(e.db.Exec(e.ctx, `INSERT INTO tidings_outbox (channel, message_key, type, payload) VALUES ('orders', 'k', 'OrderCreated', '{}')`))
	}
	e.ok(e.db.Exec(e.ctx, `INSERT INTO tidings_outbox (id, channel, message_key, type, subject, content_type, headers, payload)
		VALUES ('my id', 'orders', NULL, 'OrderCreated', NULL, NULL, '{"tenant": "x\u00e4"}', '')`))
	rows := e.read(e.session(), everything())
	if len(rows) != 3 {
		e.Fatalf("read %d rows, want 3", len(rows))
	}
	for i, r := range rows {
		if r.Err != nil {
			e.Fatalf("row %d: %v", i, r.Err)
		}
		e.ok(r.Message.Validate())
		if age := time.Since(r.Message.Time); age < -5*time.Second || age > time.Minute {
			e.Errorf("row %d was made %s ago", i, age)
		}
		if r.Message.ContentType != "application/json" {
			e.Errorf("row %d: content type %q", i, r.Message.ContentType)
		}
	}
	if a, b := rows[0].Message.ID, rows[1].Message.ID; a == b {
		e.Errorf("two rows have the id %q", a)
	}
	if got := string(rows[0].Message.Payload); got != "{}" {
		e.Errorf("payload is %q", got)
	}
	if got := rows[2].Message; got.ID != "my id" || got.Key != "" || got.Headers["tenant"] != "xä" || len(got.Payload) != 0 {
		e.Errorf("third row: %+v", got)
	}
}

// badRows have one thing wrong each, in the column of that name.
var badRows = []struct{ column, sql string }{
	{"channel", `INSERT INTO tidings_outbox (channel, type, payload) VALUES (NULL, 'T', 'x')`},
	{"type", `INSERT INTO tidings_outbox (channel, type, payload) VALUES ('c', NULL, 'x')`},
	{"payload", `INSERT INTO tidings_outbox (channel, type, payload) VALUES ('c', 'T', NULL)`},
	{"headers", `INSERT INTO tidings_outbox (channel, type, payload, headers) VALUES ('c', 'T', 'x', 'nonsense')`},
	{"headers", `INSERT INTO tidings_outbox (channel, type, payload, headers) VALUES ('c', 'T', 'x', '["a"]')`},
	{"headers", `INSERT INTO tidings_outbox (channel, type, payload, headers) VALUES ('c', 'T', 'x', '{"a": 1}')`},
	{"headers", `INSERT INTO tidings_outbox (channel, type, payload, headers) VALUES ('c', 'T', 'x', '{"a": null}')`},
	{"channel", `INSERT INTO tidings_outbox (channel, type, payload) VALUES ('` + strings.Repeat("c", 5000) + `', 'T', 'x')`},
	{"type", `INSERT INTO tidings_outbox (channel, type, payload) VALUES ('c', '` + strings.Repeat("c", 5000) + `', 'x')`},
	{"key", `INSERT INTO tidings_outbox (channel, message_key, type, payload) VALUES ('c', '` + strings.Repeat("c", 5000) + `', 'T', 'x')`},
	{"id", `INSERT INTO tidings_outbox (id, channel, type, payload) VALUES ('` + strings.Repeat("c", 5000) + `', 'c', 'T', 'x')`},
	{"id", `INSERT INTO tidings_outbox (id, channel, type, payload) VALUES ('', 'c', 'T', 'x')`},
	{"subject", `INSERT INTO tidings_outbox (channel, type, payload, subject) VALUES ('c', 'T', 'x', '` + strings.Repeat("c", 5000) + `')`},
	{"content", `INSERT INTO tidings_outbox (channel, type, payload, content_type) VALUES ('c', 'T', 'x', '` + strings.Repeat("c", 5000) + `')`},
}

func testReadBadRows[Tx any](e *env[Tx]) {
	if e.db.Exec == nil {
		return
	}
	s := e.session()
	var after int64
	for _, bad := range badRows {
		e.append("before")
		refused := e.db.Exec(e.ctx, bad.sql)
		e.append("after")
		rows := e.read(s, queryAbove(after))
		if refused != nil {
			e.wantKeys(rows, "before", "after")
			after = rows[1].Position
			continue
		}
		if len(rows) != 3 {
			e.Fatalf("%.90s: read %d rows, want 3", bad.sql, len(rows))
		}
		after = rows[2].Position
		err := rows[1].Err
		if err == nil {
			err = rows[1].Message.Validate()
		}
		if err == nil || !strings.Contains(err.Error(), bad.column) {
			e.Errorf("%.90s: the row's error is %v; want one naming %s", bad.sql, err, bad.column)
			continue
		}
		// It can be set aside, and keeps its place.
		key := heldBy(&rows[1].Message)
		e.commit(s, change(aside(rows[1].Position, key)))
		if key.Key == "" {
			continue
		}
		e.commit(s, returns(key))
		again := e.read(s, queryRanges(rows[1].Position, rows[1].Position))
		if len(again) != 1 {
			e.Fatalf("%.90s: returned, %d rows are read", bad.sql, len(again))
		}
	}
}
