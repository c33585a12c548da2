package binlog

import (
	"context"
	"errors"
	"net/url"
	"testing"
	"time"

	"tidings.example/internal/servertest"
	"tidings.example/relay"
	"tidings.example/store/mysql"
)

// behind returns the same database behind a network of the test's own.
func behindProxy(t *testing.T, address string) (*mysql.DB, *servertest.Proxy) {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal("the URL of the database cannot be parsed")
	}
	p := servertest.NewProxy(t, u.Host)
	u.Host = p.Addr()
	db, err := mysql.Open(context.Background(), mysql.Config{URL: u.String()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db, p
}

// Behind a slow network a holder is not taken for dead between taking the lease
// and taking its lock.
func TestSlowNetworkNoTakeOver(t *testing.T) {
	t.Parallel()
	address := servertest.MySQLDatabase(t)
	db := migrated(t, address)
	f := follow(t, source(t, db, false), nil)
	readsLog(t, f)
	f.end()
	first, net := behindProxy(t, address)
	second, other := behindProxy(t, address)
	net.Slow(100 * time.Millisecond)
	other.Slow(30 * time.Millisecond) // the standby looks more often
	ctx := context.Background()
	ended := make(chan error, 1)
	var session relay.Session
	go func() {
		var err error
		session, _, err = source(t, first, false).Acquire(ctx, "first", time.Hour)
		ended <- err
	}()
	standby := source(t, second, false)
	var held *relay.HeldError
	acquire := func() {
		t.Helper()
		s, _, err := standby.Acquire(ctx, "second", time.Hour)
		if err == nil {
			_ = s.Release(ctx)
			t.Fatal("the standby took the lease of a living holder")
		}
		if !errors.As(err, &held) {
			t.Fatal(err)
		}
	}
	// The first one has it once the table says so: the standby comes then.
	for holder := ""; holder != "first"; {
		if err := db.SQL().QueryRow("SELECT holder FROM tidings_relay").Scan(&holder); err != nil {
			t.Fatal(err)
		}
		if !pause(ctx, 5*time.Millisecond) {
			t.Fatal("the test has ended")
		}
	}
	for done := false; !done; {
		acquire()
		select {
		case err := <-ended:
			if err != nil {
				t.Fatal(err)
			}
			done = true
		default:
		}
	}
	for until := time.Now().Add(4 * alonePatience); time.Now().Before(until); {
		acquire()
	}
	if _, err := session.Renew(ctx); err != nil {
		t.Errorf("the holder renews: %v", err)
	}
	_ = session.Release(ctx)
}

// A network that swallows everything, while connections stay open, ends the
// reading; whoever goes on elsewhere misses nothing, and takes the lease when it is over.
func TestHalfOpenNetwork(t *testing.T) {
	t.Parallel()
	address := servertest.MySQLDatabase(t)
	db := migrated(t, address)
	ill, net := behindProxy(t, address)
	f := follow(t, source(t, ill, false), nil)
	readsLog(t, f)
	appendTo(t, db, "a")
	end := f.batches(1, 10)[0].End
	net.Stall()
	stalled := time.Now()
	appendTo(t, db, "b")
	ctx := context.Background()
	// As if the lease had been a short one.
	exec(t, db, "UPDATE tidings_relay SET expires_at = UTC_TIMESTAMP(6)")
	next := follow(t, source(t, db, false), end)
	wantKeys(t, next.rows(1), "b")
	_ = f.failure()
	if took := time.Since(stalled); took > silence+heartbeat {
		t.Errorf("the silence was noticed after %s", took)
	}
	closed, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := f.Close(closed, false); err != nil {
		t.Error(err)
	}
	net.Restore()
	if _, err := f.session.Renew(ctx); !errors.Is(err, relay.ErrFenced) {
		t.Errorf("the first holder renews its lease: %v", err)
	}
	_ = f.session.Release(ctx)
	f.session = nil
}
