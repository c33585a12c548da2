package relay

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"tidings.example"
)

// BenchmarkLoop is what the relay itself costs per row: the source answers from
// memory, and the broker acknowledges at once.
func BenchmarkLoop(b *testing.B) {
	source := newStream(b.N)
	r, err := New(Config{Source: source, Broker: acker{}})
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(b.Context())
	source.drained = stop
	b.ReportAllocs()
	b.ResetTimer()
	if err := r.Run(ctx); err != nil {
		b.Fatal(err)
	}
	if s := r.Stats(); s.Published != uint64(b.N) {
		b.Fatalf("published %d of %d", s.Published, b.N)
	}
}

// acker is a broker that costs nothing.
type acker struct{}

func (acker) Check(context.Context, *tidings.Message) error { return nil }

func (acker) Publish(_ context.Context, ms []*tidings.Message, done func(int, error)) {
	for i := range ms {
		done(i, nil)
	}
}

// stream is a source of n rows of 300 bytes with 1,000 keys, which are made
// beforehand; positions start at 1 and have no gaps.
type stream struct {
	ring    []tidings.Message
	n, left int
	read    int64
	drained func()
}

func newStream(n int) *stream {
	s := &stream{n: n, left: n, ring: make([]tidings.Message, 10_000)}
	for i := range s.ring {
		s.ring[i] = message(tidings.NewID(), fmt.Sprintf("customer-%06d", i%1000))
		s.ring[i].Payload = slices.Repeat([]byte("x"), 300)
		s.ring[i].Headers = tidings.Headers{tidings.HeaderCorrelationID: s.ring[i].ID}
	}
	return s
}

func (s *stream) Name() string { return "shop" }

func (s *stream) Acquire(context.Context, string, time.Duration) (Session, State, error) {
	return s, State{}, nil
}
func (s *stream) Renew(context.Context) (Renewal, error) { return Renewal{}, nil }
func (s *stream) Release(context.Context) error          { return nil }

func (s *stream) Read(_ context.Context, q Query) ([]Row, error) {
	rows := make([]Row, 0, q.Limit)
	bytes := 0
	for q.Limit > 0 && len(rows) < q.Limit && bytes < q.Bytes && s.read < int64(s.n) {
		s.read++
		m := s.ring[s.read%int64(len(s.ring))]
		rows = append(rows, Row{Position: s.read, Message: m})
		bytes += len(m.Payload)
	}
	return rows, nil
}

func (s *stream) Commit(_ context.Context, c Change) error {
	if s.left -= len(c.Done); s.left == 0 {
		s.drained()
	}
	return nil
}

func (s *stream) Wait(ctx context.Context, idle time.Duration) error {
	sleep(ctx, min(idle, time.Millisecond))
	return nil
}

// BenchmarkTail is the same for rows that come from the log.
func BenchmarkTail(b *testing.B) {
	source := &logStream{stream: newStream(b.N)}
	r, err := New(Config{Source: source, Broker: acker{}})
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(b.Context())
	source.drained = stop
	b.ReportAllocs()
	b.ResetTimer()
	if err := r.Run(ctx); err != nil {
		b.Fatal(err)
	}
	if s := r.Stats(); s.Published != uint64(b.N) {
		b.Fatalf("published %d of %d", s.Published, b.N)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

// logStream gives the rows of a stream as a log; its position is the number of
// rows.
type logStream struct{ *stream }

func (s *logStream) Acquire(context.Context, string, time.Duration) (Session, State, error) {
	return s, State{Reading: FromLog, Epoch: "e", Lanes: tidings.DefaultLanes, Log: Checkpoint{Position: []byte("0")}}, nil
}

func (s *logStream) Tail(context.Context, Session, State) (Log, Start, error) {
	return s, Start{}, nil
}

func (s *logStream) Commit(_ context.Context, c Change) error {
	if string(c.Log.Position) == strconv.Itoa(s.n) {
		s.drained()
	}
	return nil
}

func (s *logStream) Next(ctx context.Context, limit, bytes int) (LogBatch, error) {
	if s.read == int64(s.n) {
		<-ctx.Done()
		return LogBatch{}, ctx.Err()
	}
	rows, err := s.Read(ctx, Query{Limit: limit, Bytes: bytes})
	return LogBatch{Rows: rows, End: strconv.AppendInt(nil, s.read, 10), Floor: s.read}, err
}

func (s *logStream) Before(context.Context, Query) ([]Row, error)     { return nil, nil }
func (s *logStream) Aside(context.Context, AsideQuery) ([]Row, error) { return nil, nil }
func (s *logStream) Confirm(Checkpoint)                               {}
func (s *logStream) Lag(context.Context) (Lag, error)                 { return Lag{}, nil }
func (s *logStream) Close(context.Context, bool) error                { return nil }
