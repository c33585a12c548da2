package binlog

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"tidings.example/relay"
	"tidings.example/store/mysql"
)

// readsLog makes the log what the outbox is read from.
func readsLog(t *testing.T, f *following) {
	t.Helper()
	c := relay.Checkpoint{Position: f.start.Position}
	if err := f.session.Commit(context.Background(), relay.Change{Log: &c, Reading: relay.FromLog}); err != nil {
		t.Fatal(err)
	}
}

// A holder whose connection has ended is replaced long before its lease ends; a
// living one is not.
func TestTakeOver(t *testing.T) {
	t.Parallel()
	db := newDB(t)
	f := follow(t, source(t, db, false), nil)
	readsLog(t, f)
	standby := source(t, db, false)
	ctx := context.Background()
	var held *relay.HeldError
	for until := time.Now().Add(3 * alonePatience); time.Now().Before(until); {
		if _, _, err := standby.Acquire(ctx, "standby", time.Hour); !errors.As(err, &held) {
			t.Fatalf("the lease of a living holder: %v", err)
		}
		pause(ctx, alonePatience/4)
	}
	// As a kill -9 does, on the server's side.
	exec(t, db, fmt.Sprintf("KILL CONNECTION %d", lockHolder(t, db)))
	begun := time.Now()
	for {
		session, _, err := standby.Acquire(ctx, "standby", time.Hour)
		if err == nil {
			t.Cleanup(func() { _ = session.Release(ctx) })
			break
		}
		if !errors.As(err, &held) || time.Since(begun) > patience {
			t.Fatal(err)
		}
		pause(ctx, alonePatience/4)
	}
	if took := time.Since(begun); took < alonePatience || took > time.Second {
		t.Errorf("the take-over took %s", took)
	}
	if _, err := f.session.Renew(ctx); !errors.Is(err, relay.ErrFenced) {
		t.Errorf("the first holder renews its lease: %v", err)
	}
}

// lockHolder is the connection that holds the lock of this database's reader.
func lockHolder(t *testing.T, db *mysql.DB) (id int64) {
	t.Helper()
	s := source(t, db, false)
	fence, _, err := s.access.Alone(context.Background(), "test")
	if err == nil {
		err = db.SQL().QueryRow("SELECT IS_USED_LOCK(?)", s.access.LockName(fence)).Scan(&id)
	}
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// A cut connection ends the reading; whoever goes on at the position misses
// nothing.
func TestCutConnection(t *testing.T) {
	t.Parallel()
	db := newDB(t)
	s := source(t, db, false)
	f := follow(t, s, nil)
	appendTo(t, db, "a")
	end := f.batches(1, 10)[0].End
	exec(t, db, fmt.Sprintf("KILL CONNECTION %d", f.Log.(*Log).stream.syncer.LastConnectionID()))
	appendTo(t, db, "b")
	_ = f.failure() // with or without b before it
	f.end()
	wantKeys(t, follow(t, s, end).rows(1), "b")
}

func TestServerRestart(t *testing.T) {
	t.Parallel()
	for _, kill := range []bool{false, true} {
		t.Run(fmt.Sprintf("kill %v", kill), func(t *testing.T) {
			t.Parallel()
			db, servers := privateDB(t)
			s := source(t, db, false)
			f := follow(t, s, nil)
			appendTo(t, db, "a", "b")
			end := f.batches(2, 1)[0].End
			if kill {
				servers.Kill("mariadb")
			} else {
				servers.Stop("mariadb")
			}
			if err := f.failure(); err == nil {
				t.Error("the log goes on without a server")
			}
			servers.Start("mariadb")
			f.end()
			f = follow(t, s, end)
			wantKeys(t, f.rows(1), "b")
			appendTo(t, db, "c")
			wantKeys(t, f.rows(1), "c")
		})
	}
}

// What is wrong with the server or the user is said with what to do.
func TestErrorsNameTheRemedy(t *testing.T) {
	t.Parallel()
	db, servers := privateDB(t)
	s := source(t, db, false)
	fails := func(s *Source, want string) {
		t.Helper()
		session, st, err := s.Acquire(context.Background(), "holder", time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = session.Release(context.Background()) }()
		_, _, err = s.Tail(context.Background(), session, st)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error is %v; want one with %q", err, want)
		}
	}
	exec(t, db, "SET GLOBAL binlog_format = MIXED")
	fails(s, "SET GLOBAL binlog_format = ROW")
	exec(t, db, "SET GLOBAL binlog_format = ROW")
	var name string
	if err := db.SQL().QueryRow("SELECT DATABASE()").Scan(&name); err != nil {
		t.Fatal(err)
	}
	exec(t, db, "CREATE USER 'few'@'%' IDENTIFIED BY 'few'", "GRANT ALL ON "+name+".* TO 'few'@'%'")
	url := strings.Replace(servers.URL("mariadb"), "root:tidings", "few:few", 1) + name
	// Privileges count for connections that begin after they were granted.
	open := func() *mysql.DB {
		few, err := mysql.Open(context.Background(), mysql.Config{URL: url})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = few.Close() })
		return few
	}
	fails(source(t, open(), false), "GRANT REPLICATION SLAVE, BINLOG MONITOR")
	exec(t, db, "GRANT BINLOG MONITOR ON *.* TO 'few'@'%'")
	fails(source(t, open(), false), "GRANT REPLICATION SLAVE, BINLOG MONITOR")
	exec(t, db, "GRANT REPLICATION SLAVE ON *.* TO 'few'@'%'")
	few := open()
	f := follow(t, source(t, few, false), nil)
	appendTo(t, db, "a")
	wantKeys(t, f.rows(1), "a")
	f.end()
}
