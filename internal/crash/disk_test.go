package crash

import (
	"testing"
	"time"

	"tidings.example/internal/servertest"
)

// The disk of database and broker is full: transactions fail or hang, the broker
// gives up, perhaps the database too. When there is room again, and what has ended
// was started again, everything that was committed arrives.
func TestDiskFull(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a minute")
	}
	servertest.Postgres(t) // for the effects
	for _, kind := range []string{"postgres", "mariadb"} {
		t.Run(kind, func(t *testing.T) {
			servers := servertest.PrivateSmall(t, 1200, kind, "kafka")
			w := newWorld(t, servers, kind)
			w.flow()
			free := servers.Fill()
			want := expected{}
			if kind == "postgres" {
				w.load.burst.Store(20_000) // what is there already runs full soon
			} else {
				want.lostLog = true // the file of the log may end within an event
			}
			stood := w.standstill()
			w.Logf("nothing moved for 3 s, %s after the disk was full", stood.Round(time.Second))
			free()
			if kind == "mariadb" {
				servers.Kill(kind) // it looks for space only once a minute
			}
			handled := w.handled()
			for _, name := range []string{kind, "kafka"} {
				servers.Restart(name) // it may have ended, or be about to
			}
			if !w.within(time.Minute, func() bool { return w.handled() >= handled+300 }) {
				// What Kafka keeps of its consumers may be unreadable after that, and none is served ("New last
				// written offset must be greater", in its log). Everything comes again then, and has its effect once.
				w.Logf("nothing is handled a minute later: Kafka is started without the offsets of its consumers")
				servers.ForgetOffsets()
			}
			w.more(300)
			w.verify(want)
			w.leave()
		})
	}
}

// standstill waits until nothing has arrived for three seconds, or until the time
// that a disk of this size takes to run full is over.
func (w *world) standstill() time.Duration {
	began, since, last := time.Now(), time.Now(), -1
	for time.Since(since) < 3*time.Second && time.Since(began) < 30*time.Second {
		if n := w.handled(); n != last {
			last, since = n, time.Now()
		}
		w.pass(100 * time.Millisecond)
	}
	return time.Since(began)
}
