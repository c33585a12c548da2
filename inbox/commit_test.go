package inbox_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"tidings.example"
	"tidings.example/inbox"
	"tidings.example/store/memory"
)

// TestAfterCommit: what a handler asks for is called when its effect can be seen,
// once, and never for an attempt that was rolled back; of a batch for each message.
func TestAfterCommit(t *testing.T) {
	t.Parallel()
	db := memory.New()
	var told []string
	attempts := map[string]int{}
	handler := func(ctx context.Context, tx *memory.Tx, m *tidings.Message) error {
		text := string(m.Payload)
		if err := tx.Put(ctx, text, "seen"); err != nil {
			return err
		}
		if !inbox.AfterCommit(ctx, func() { told = append(told, text+" "+db.Get(text)) }) {
			t.Errorf("%s: the context is not taken for a handler's", text)
		}
		if attempts[text]++; text == "2/1" && attempts[text] < 3 {
			return errBad
		}
		return nil
	}
	run(t, config{Store: db.Inbox(), Handler: handler, BatchSize: 4, Concurrency: 1}, func(b *bench) {
		b.send(msg(1, 1), msg(2, 1), msg(3, 1))
		b.pass(time.Second)
		slices.Sort(told)
		if want := []string{"1/1 seen", "2/1 seen", "3/1 seen"}; !slices.Equal(told, want) {
			t.Errorf("told %q, want %q", told, want)
		}
	})
	if inbox.AfterCommit(t.Context(), func() { t.Error("called") }) {
		t.Error("a context that is no handler's")
	}
}
