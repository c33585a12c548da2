package crash

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"tidings.example/broker"
)

// written returns what was committed: id to place among its key's.
func (w *world) written() map[string]int64 {
	w.Helper()
	all := map[string]int64{}
	w.each(w.db.SQL, `SELECT message_id, k, n FROM written`, func(id, _ string, n int64) { all[id] = n })
	return all
}

func (w *world) each(db *sql.DB, query string, row func(id, key string, n int64)) {
	w.Helper()
	rows, err := db.QueryContext(w.ctx, query)
	if err != nil {
		w.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var id, key string
		var n int64
		if err := rows.Scan(&id, &key, &n); err != nil {
			w.Fatal(err)
		}
		row(id, key, n)
	}
	if err := rows.Err(); err != nil {
		w.Fatal(err)
	}
}

// expected is what a fault may cost besides nothing.
type expected struct {
	// epochs that were opened; 1 is the first.
	epochs int
	// lostLog allows for one epoch more.
	lostLog bool
}

// verify ends the load, waits until all is handled, and counts.
func (w *world) verify(want expected) {
	w.Helper()
	w.load.end()
	committed := w.written()
	w.until(fmt.Sprintf("the effects of %d messages", len(committed)), func() bool { return w.distinct() >= len(committed) })
	// Whatever came too much is on its way as well: a message behind all others
	// in its lane proves nothing about other lanes, so wait for quiet.
	w.quiet()

	seen, last := map[string]bool{}, map[string]int64{}
	lost, twice, foreign, order := len(committed), 0, 0, 0
	w.each(w.effects.SQL, `SELECT message_id, k, n FROM effect ORDER BY at`, func(id, key string, n int64) {
		switch _, known := committed[id]; {
		case seen[id]:
			twice++
			return
		case !known:
			foreign++
			return
		}
		seen[id] = true
		lost--
		if n <= last[key] && last[key] != 0 {
			order++
		}
		last[key] = n
	})
	epochs := 0
	if err := w.db.SQL.QueryRowContext(w.ctx, `SELECT count(*) FROM tidings_relay_epoch`).Scan(&epochs); err != nil {
		w.Fatal(err)
	}
	repeated, records := w.records()
	w.Logf("committed %d, transactions failed %d; lost %d, twice %d, never committed %d, out of order %d; epochs %d; records %d, of which %d repeated",
		len(committed), w.load.failing.Load(), lost, twice, foreign, order, epochs, records, repeated)
	if lost != 0 || twice != 0 || foreign != 0 || order != 0 {
		w.Errorf("lost %d, twice %d, never committed %d, out of order %d", lost, twice, foreign, order)
	}
	if epochs != max(want.epochs, 1) && !(want.lostLog && epochs == 2) {
		w.Errorf("%d epochs were opened, want %d", epochs, max(want.epochs, 1))
	}
	if len(committed) < 300 {
		w.Errorf("only %d messages were committed: the load did not do its work", len(committed))
	}
}

func (w *world) distinct() int {
	var n int
	if err := w.effects.SQL.QueryRowContext(w.ctx, `SELECT count(DISTINCT message_id) FROM effect`).Scan(&n); err != nil {
		w.Errorf("count effects: %v", err)
	}
	return n
}

// quiet waits until the topic has not grown and no effect has come for a while.
func (w *world) quiet() {
	w.Helper()
	before, since := -1, time.Now()
	w.until("quiet", func() bool {
		if now := w.endOffset() + w.handled(); now != before {
			before, since = now, time.Now()
		}
		return time.Since(since) > time.Second
	})
}

// records reads the whole topic, and counts those whose number was there before.
func (w *world) records() (repeated, records int) {
	w.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(hostOf(w.servers.URL("kafka"))), kgo.ConsumeTopics(w.channel),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		w.Fatal(err)
	}
	defer client.Close()
	end := w.endOffset()
	codec := broker.KafkaCloudEvents()
	seen := map[string]bool{}
	for records < end {
		ctx, cancel := context.WithTimeout(w.ctx, patience)
		fetches := client.PollFetches(ctx)
		cancel()
		if err := fetches.Err(); err != nil {
			w.Fatalf("read the topic: %v", err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			records++
			record := broker.Record{Channel: w.channel, Key: string(r.Key), Value: r.Value}
			for _, h := range r.Headers {
				record.Headers = append(record.Headers, broker.Header{Name: h.Key, Value: string(h.Value)})
			}
			m, err := codec.Decode(record)
			if err != nil {
				w.Errorf("a record does not decode: %v", err)
			}
			at := fmt.Sprintf("%s %d %d", m.Stamp.Epoch, m.Stamp.Lane, m.Stamp.Sequence)
			if seen[at] {
				repeated++
			}
			seen[at] = true
		})
	}
	return repeated, records
}

// query asks the source.
func (w *world) query(into any, statement string, args ...any) {
	w.Helper()
	if err := w.db.SQL.QueryRowContext(w.ctx, statement, args...).Scan(into); err != nil {
		w.Fatalf("%s: %v", statement, err)
	}
}

// tidings runs a command against the source, past the proxies.
func (w *world) tidings(args ...string) string {
	w.Helper()
	return run(w.ctx, w.T, []string{"TIDINGS_STORE_URL=" + w.url, "TIDINGS_BROKER_URL=" + w.servers.URL("kafka")}, args...)
}

// endOffset is the number of records in the topic, which nothing is removed from.
func (w *world) endOffset() int {
	w.Helper()
	n := 0
	w.until("the ends of the topic", func() bool { // a broker that was away may still elect leaders
		ends, err := w.topics.ListEndOffsets(w.ctx, w.channel)
		if err == nil {
			err = ends.Error()
		}
		n = 0
		ends.Each(func(o kadm.ListedOffset) { n += int(o.Offset) })
		return err == nil
	})
	return n
}
