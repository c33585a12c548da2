package binlog

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/go-mysql-org/go-mysql/replication"
)

// BenchmarkRead reads rows of 300 bytes from the server's log, and throws them away.
func BenchmarkRead(b *testing.B) {
	for _, each := range []int{1, 100} {
		b.Run(fmt.Sprintf("%d rows in a transaction", each), func(b *testing.B) {
			db := newDB(b)
			f := follow(b, source(b, db, false), nil)
			start := f.start.Position
			f.end()
			ctx := context.Background()
			n := 100_000 / 100 * min(each, 100) // one by one is slow to append
			n = max(n, 5_000)
			c := conn(b, db)
			insert := fmt.Sprintf(`INSERT INTO tidings_outbox (channel, message_key, type, payload)
				SELECT 'orders', seq, 'OrderCreated', REPEAT('x', 300) FROM seq_1_to_%d`, each)
			for range n / each {
				on(b, c, insert)
			}
			rate := 0.0
			for b.Loop() {
				f := follow(b, source(b, db, false), start)
				// The server looks for the GTID in its file first, which is not measured.
				got := len(f.batches(1, 1)[0].Rows)
				begun := time.Now()
				for got < n {
					batch, err := f.Next(ctx, 2000, 1<<20)
					if err != nil {
						b.Fatal(err)
					}
					got += len(batch.Rows)
				}
				rate = max(rate, float64(n-1)/time.Since(begun).Seconds())
				f.end()
			}
			b.ReportMetric(rate, "rows/s")
		})
	}
}

// BenchmarkDecode reads what a server has written, from memory.
func BenchmarkDecode(b *testing.B) {
	for name, recorded := range golden(b) {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(recorded)))
			for b.Loop() {
				if _, err := replay(replication.NewBinlogParser(), recorded); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
