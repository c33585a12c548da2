package sqlstore

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestFailuresAreLoggedOnceInAWhile(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	f := RemovalFailures(slog.New(slog.NewTextHandler(&log, nil)), "shop")
	denied := errors.New("denied")
	now := time.Now()
	for _, step := range []struct {
		after time.Duration
		err   error
		want  string // in what is logged; "" is nothing
	}{
		{0, nil, ""},
		{time.Second, denied, "error=denied"},
		{time.Second, denied, ""},
		{failuresInterval, denied, "level=WARN"},
		{time.Second, nil, "removed again"},
		{time.Second, nil, ""},
		{time.Second, denied, "source=shop"},
	} {
		log.Reset()
		now = now.Add(step.after)
		f.note(step.err, now)
		if got := log.String(); (step.want == "") != (got == "") || !strings.Contains(got, step.want) {
			t.Errorf("after %v: %q logged, want %q", step.err, got, step.want)
		}
	}
	(&Failures{}).Note(denied)
}
