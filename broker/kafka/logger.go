package kafka

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// logger passes on what the client library logs, one level lower: most of it
// is about retries that this package relies on and reports itself if they
// matter.
type logger struct{ to *slog.Logger }

func (l logger) Level() kgo.LogLevel {
	ctx := context.Background()
	switch {
	case l.to.Enabled(ctx, slog.LevelDebug):
		return kgo.LogLevelWarn
	case l.to.Enabled(ctx, slog.LevelWarn):
		return kgo.LogLevelError
	}
	return kgo.LogLevelNone
}

func (l logger) Log(level kgo.LogLevel, message string, attributes ...any) {
	to := slog.LevelDebug
	if level == kgo.LogLevelError {
		to = slog.LevelWarn
	}
	l.to.Log(context.Background(), to, "kafka client: "+message, attributes...)
}

// backoff is the time to wait before the nth try: 100 ms doubled up to 2 s,
// less up to a quarter by chance.
func backoff(tries int) time.Duration {
	d := 2 * time.Second
	if tries < 6 {
		d = min(d, 100*time.Millisecond<<max(tries-1, 0))
	}
	return d - rand.N(d/4)
}
