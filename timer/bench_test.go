package timer_test

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"tidings.example"
	"tidings.example/internal/servertest"
	"tidings.example/timer"
)

// counting counts what is asked of a source.
type counting struct {
	timer.Source
	looks int
}

func (c *counting) Next(ctx context.Context) (time.Time, bool, error) {
	c.looks++
	return c.Source.Next(ctx)
}

// fill stores n messages that are due at a time.
func fill[Tx any](b *testing.B, db database[Tx], due time.Time, n int) {
	b.Helper()
	const batch = 500
	for range n / batch {
		ms := make([]tidings.Message, batch)
		for i := range ms {
			ms[i] = reminder(fmt.Sprint(i))
		}
		if err := db.send(b.Context(), due, ms...); err != nil {
			b.Fatal(err)
		}
	}
}

// benchmarkDue measures how many delayed messages go to the outbox in a second.
func benchmarkDue[Tx any](b *testing.B, db database[Tx]) {
	const n = 10_000
	for b.Loop() {
		b.StopTimer()
		fill(b, db, time.Now(), n)
		r, err := timer.NewRunner(timer.Config{Name: "bench", Sources: []timer.Source{timer.NewDelayed(db.timers, db.outbox)}})
		if err != nil {
			b.Fatal(err)
		}
		ctx, stop := context.WithCancel(b.Context())
		ended := make(chan error, 1)
		b.StartTimer()
		go func() { ended <- r.Run(ctx) }()
		for r.Stats()[0].Fired < n {
			<-time.After(5 * time.Millisecond)
		}
		b.StopTimer()
		stop()
		if err := <-ended; err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	b.ReportMetric(n*float64(b.N)/b.Elapsed().Seconds(), "messages/s")
}

// benchmarkWaiting measures what it costs this process that a hundred thousand messages wait.
func benchmarkWaiting[Tx any](b *testing.B, db database[Tx]) {
	fill(b, db, time.Now().Add(time.Hour), 100_000)
	s := &counting{Source: timer.NewDelayed(db.timers, db.outbox)}
	r, err := timer.NewRunner(timer.Config{Name: "bench", Sources: []timer.Source{s}})
	if err != nil {
		b.Fatal(err)
	}
	const watched = 10 * time.Second
	for b.Loop() {
		ctx, stop := context.WithTimeout(b.Context(), watched)
		before := processorTime(b)
		err := r.Run(ctx)
		stop()
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64((processorTime(b)-before).Microseconds())/watched.Seconds(), "cpu-µs/s")
	}
	b.ReportMetric(float64(s.looks)/float64(b.N)/watched.Seconds(), "looks/s")
}

// processorTime is what this process has used.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func BenchmarkPostgres(b *testing.B) {
	b.Run("due", func(b *testing.B) { benchmarkDue(b, postgresAt(b, servertest.PostgresSchema(b))) })
	b.Run("waiting", func(b *testing.B) { benchmarkWaiting(b, postgresAt(b, servertest.PostgresSchema(b))) })
}

func BenchmarkMySQL(b *testing.B) {
	b.Run("due", func(b *testing.B) { benchmarkDue(b, mysqlAt(b, servertest.MySQLDatabase(b))) })
	b.Run("waiting", func(b *testing.B) { benchmarkWaiting(b, mysqlAt(b, servertest.MySQLDatabase(b))) })
}

func BenchmarkSQLite(b *testing.B) {
	at := func(b *testing.B) database[*sql.Tx] { return sqliteAt(b, filepath.Join(b.TempDir(), "test.db")) }
	b.Run("due", func(b *testing.B) { benchmarkDue(b, at(b)) })
	b.Run("waiting", func(b *testing.B) { benchmarkWaiting(b, at(b)) })
}
