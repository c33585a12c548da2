package capture_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the service's drivers
	_ "modernc.org/sqlite"

	driver "github.com/go-sql-driver/mysql"

	"tidings.example"
	"tidings.example/admin"
	"tidings.example/broker"
	"tidings.example/broker/inproc"
	"tidings.example/internal/connect"
	"tidings.example/relay"
)

// service opens the database as a program that has never heard of Tidings.
func service(t *testing.T, kind, url string) *sql.DB {
	t.Helper()
	var pool *sql.DB
	var err error
	switch kind {
	case "sqlite":
		pool, err = sql.Open("sqlite", "file:"+strings.TrimPrefix(url, "sqlite:")+"?_pragma=busy_timeout(20000)&_txlock=immediate")
	case "postgres":
		pool, err = sql.Open("pgx", url)
	case "mysql":
		user, rest, _ := strings.Cut(strings.TrimPrefix(url, "mysql://"), "@")
		host, name, _ := strings.Cut(rest, "/")
		cfg := driver.NewConfig()
		cfg.User, cfg.Passwd, _ = strings.Cut(user, ":")
		cfg.Net, cfg.Addr = "tcp", host
		cfg.DBName, _, _ = strings.Cut(name, "?")
		pool, err = sql.Open("mysql", cfg.FormatDSN())
	}
	if err != nil {
		t.Fatal(err)
	}
	if kind == "sqlite" { // whose writers do not queue up, so that one of many may never get its turn
		pool.SetMaxOpenConns(1)
	}
	t.Cleanup(func() { _ = pool.Close() })
	return pool
}

// deadlock reports whether the server has ended a transaction that a service
// would run again.
func deadlock(err error) bool {
	var e *driver.MySQLError
	return errors.As(err, &e) && e.Number == 1213
}

// TestThroughTheRelay lets a service write from several connections while the
// triggers are replaced again and again. A subscriber that follows the messages
// has the service's table in the end.
func TestThroughTheRelay(t *testing.T) {
	t.Parallel()
	eachURL(t, func(t *testing.T, db *connect.Database, url string) {
		writers, changes, replacements := 4, 100, int64(1000)
		if db.Kind == "sqlite" { // all wait for one lock, without a queue, and parse all tables and triggers anew after each replacement
			writers, changes, replacements = 2, 20, 5
		}
		exec(t, db, `CREATE TABLE stock (shelf INTEGER NOT NULL, id INTEGER NOT NULL, n INTEGER, PRIMARY KEY (shelf, id))`)
		specs := []admin.CaptureSpec{{Table: "stock", Channel: "stock"}, {Table: "stock", Channel: "stock", Type: "other"}}
		install(t, db, specs[0])

		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		b := inproc.New(inproc.Config{})
		r, err := relay.New(relay.Config{Source: db.Relay("shop"), Broker: b})
		if err != nil {
			t.Fatal(err)
		}
		var running sync.WaitGroup
		running.Go(func() {
			if err := r.Run(ctx); err != nil {
				t.Error(err)
			}
		})
		var mu sync.Mutex
		copied, received := map[string]string{}, 0
		seen := map[string]bool{}
		running.Go(func() {
			err := b.Subscribe(ctx, broker.Subscription{Subscriber: "s", Channels: []string{"stock"}}, func(_ context.Context, d broker.Delivery) {
				mu.Lock()
				defer mu.Unlock()
				defer d.Ack()
				if seen[d.Message.ID] {
					return
				}
				seen[d.Message.ID] = true
				received++
				follow(t, copied, &d.Message)
			})
			if err != nil {
				t.Error(err)
			}
		})

		pool := service(t, db.Kind, url)
		var writing sync.WaitGroup
		var messages, done, replaced, installing atomic.Int64
		// Where nobody queues for the lock, writers that never pause keep it from others.
		hungry := func() bool {
			since := installing.Load()
			return db.Kind == "sqlite" && since != 0 && time.Since(time.Unix(0, since)) > 100*time.Millisecond && !t.Failed()
		}
		for w := range writers {
			writing.Go(func() {
				random := rand.New(rand.NewPCG(1, uint64(w)))
				// A writer does not end before the triggers were replaced beneath it.
				for i := 0; (i < changes || replaced.Load() < 2) && !t.Failed(); i++ {
					for hungry() {
						<-time.After(time.Millisecond)
					}
					n, err := change(ctx, pool, w, random)
					for deadlock(err) {
						n, err = change(ctx, pool, w, random)
					}
					if err != nil {
						t.Error(err)
						return
					}
					messages.Add(n)
				}
				done.Add(1)
			})
		}
		for i := 1; done.Load() < int64(writers) && replaced.Load() < replacements && !t.Failed(); i++ {
			installing.Store(time.Now().UnixNano())
			if _, changed, err := db.Admin.InstallCapture(ctx, specs[i%2], act); err != nil && !strings.Contains(err.Error(), "locked") {
				t.Error(err)
			} else if changed {
				replaced.Add(1)
			}
			installing.Store(0)
			// And the same the other way round.
			for before := messages.Load(); db.Kind == "sqlite" && messages.Load() == before && done.Load() < int64(writers) && !t.Failed(); {
				<-time.After(time.Millisecond)
			}
		}
		writing.Wait()
		if n := replaced.Load(); n < 2 {
			t.Errorf("the triggers were replaced %d times", n)
		}
		deadline := time.After(time.Minute)
		for {
			mu.Lock()
			n := received
			mu.Unlock()
			if int64(n) >= messages.Load() {
				break
			}
			select {
			case <-deadline:
				t.Fatalf("%d of %d messages", n, messages.Load())
			case <-time.After(10 * time.Millisecond):
			}
		}
		stop()
		running.Wait()
		if int64(received) != messages.Load() {
			t.Errorf("%d messages instead of %d", received, messages.Load())
		}
		rows, err := pool.QueryContext(t.Context(), `SELECT shelf, id, n FROM stock`)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		want := map[string]string{}
		for rows.Next() {
			var shelf, id, n int
			if err := rows.Scan(&shelf, &id, &n); err != nil {
				t.Fatal(err)
			}
			want[fmt.Sprintf("[%d,%d]", shelf, id)] = fmt.Sprint(n)
		}
		if len(want) == 0 || !maps.Equal(copied, want) {
			t.Errorf("the copy is %v, the table %v", copied, want)
		}
	})
}

// follow does to a copy what a message says.
func follow(t *testing.T, copied map[string]string, m *tidings.Message) {
	var p struct {
		Op  string
		New *struct{ N int }
	}
	if err := json.Unmarshal(m.Payload, &p); err != nil {
		t.Errorf("%v in %s", err, m.Payload)
		return
	}
	_, there := copied[m.Key]
	if there != (p.Op != "insert") {
		t.Errorf("%s of %s, which is there: %v", p.Op, m.Key, there)
	}
	if p.Op == "delete" {
		delete(copied, m.Key)
		return
	}
	copied[m.Key] = fmt.Sprint(p.New.N)
}

// change is one transaction of the service on the rows of a writer. It returns
// how many messages it makes.
func change(ctx context.Context, pool *sql.DB, writer int, random *rand.Rand) (messages int64, err error) {
	tx, err := pool.BeginTx(ctx, nil)
	if err != nil {
		return 0, err
	}
	defer func() { _ = tx.Rollback() }()
	for range 1 + random.IntN(3) {
		id, n := writer*100+random.IntN(5), random.IntN(1000)
		to := random.IntN(3)
		var at int
		switch err := tx.QueryRowContext(ctx, fmt.Sprintf(`SELECT shelf FROM stock WHERE id = %d`, id)).Scan(&at); err {
		case sql.ErrNoRows:
			_, err = tx.ExecContext(ctx, fmt.Sprintf(`INSERT INTO stock VALUES (%d, %d, %d)`, to, id, n))
			if err != nil {
				return 0, err
			}
			messages++
		case nil:
			query := fmt.Sprintf(`UPDATE stock SET n = %d, shelf = %d WHERE shelf = %d AND id = %d`, n, to, at, id)
			if n%4 == 0 {
				query = fmt.Sprintf(`DELETE FROM stock WHERE shelf = %d AND id = %d`, at, id)
			} else if to != at {
				messages++
			}
			if _, err := tx.ExecContext(ctx, query); err != nil {
				return 0, err
			}
			messages++
		default:
			return 0, err
		}
	}
	if random.IntN(5) == 0 {
		return 0, tx.Rollback()
	}
	return messages, tx.Commit()
}
