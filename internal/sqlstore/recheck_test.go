package sqlstore

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestRecheck(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var r Recheck
		var wrong error
		n := 0
		do := func(checks int, want error) {
			t.Helper()
			if err := r.Do(time.Second, func() error { n++; return wrong }); err != want || n != checks {
				t.Errorf("%v after %d checks, want %v after %d", err, n, want, checks)
			}
		}
		do(1, nil)
		time.Sleep(time.Second - 1)
		wrong = errors.New("no more")
		do(1, nil)
		time.Sleep(time.Nanosecond)
		do(2, wrong)
		do(3, wrong)
		wrong = nil
		do(4, nil)
		do(4, nil)
	})
}
