package wait

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestFor(t *testing.T) {
	t.Parallel()
	no := errors.New("not yet")
	synctest.Test(t, func(t *testing.T) {
		begun, asked := time.Now(), 0
		err := For(t.Context(), time.Second, 10*time.Millisecond, func() error {
			if asked++; asked < 4 {
				return no
			}
			return nil
		})
		if err != nil || asked != 4 || time.Since(begun) != 30*time.Millisecond {
			t.Errorf("%v after %d questions and %s", err, asked, time.Since(begun))
		}
		begun = time.Now()
		err = For(t.Context(), time.Second, 10*time.Millisecond, func() error { return no })
		if !errors.Is(err, no) || time.Since(begun) < time.Second {
			t.Errorf("%v after %s", err, time.Since(begun))
		}
		ctx, cancel := context.WithCancel(t.Context())
		err = For(ctx, time.Second, 10*time.Millisecond, func() error { cancel(); return no })
		if !errors.Is(err, no) || !errors.Is(err, context.Canceled) {
			t.Errorf("%v, want both reasons", err)
		}
	})
}
