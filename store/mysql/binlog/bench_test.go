package binlog

import (
	"context"
	"fmt"
	"testing"
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
			n := 20_000
			c := conn(b, db)
			insert := fmt.Sprintf(`INSERT INTO tidings_outbox (channel, message_key, type, payload)
				SELECT 'orders', seq, 'OrderCreated', REPEAT('x', 300) FROM seq_1_to_%d`, each)
			for range n / each {
				on(b, c, insert)
			}
			for b.Loop() {
				f := follow(b, source(b, db, false), start)
				for got := 0; got < n; {
					batch, err := f.Next(ctx, 2000, 1<<20)
					if err != nil {
						b.Fatal(err)
					}
					got += len(batch.Rows)
				}
				f.end()
			}
			b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
