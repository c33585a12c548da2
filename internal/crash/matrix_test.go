package crash

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"tidings.example/internal/servertest"
)

// A fault is one line of the matrix. Both relays run and messages flow when it
// begins, and it leaves the world well, with at least one relay.
type fault struct {
	name   string
	only   string // the kind of database that has it; empty: all
	break_ func(w *world)
	want   expected
}

// longer than a lease lasts by default.
const pastLease = 5 * time.Second

var matrix = []fault{
	{name: "kill the leader, again and again", break_: killLeaders},
	{name: "kill in the middle of a large transaction", break_: killInLargeTransaction},
	{name: "stop for longer than the lease", break_: stopPastLease},
	{name: "SIGTERM", break_: terminate},
	{name: "two relays that take the lease from each other", break_: fight},
	{name: "network cut", break_: cutNetwork},
	{name: "network slow", break_: slowNetwork},
	{name: "network half-open", break_: halfOpen},
	{name: "database killed", break_: func(w *world) { w.servers.Kill(w.kind); w.servers.Start(w.kind) }},
	{name: "database restarted", break_: func(w *world) { w.servers.Restart(w.kind) }},
	{name: "sessions terminated", break_: terminateSessions},
	{name: "broker killed", break_: func(w *world) { w.servers.Kill("kafka"); w.pass(time.Second); w.servers.Start("kafka") }},
	{name: "broker acknowledges late", break_: lateBroker},
	{name: "broker refuses", break_: refusingBroker},
	{name: "slot dropped under a running relay", only: "postgres", break_: dropSlot, want: expected{epochs: 2}},
	{name: "slot dropped while no relay runs", only: "postgres", break_: dropSlotOfStopped, want: expected{epochs: 2}},
	{name: "binlog purged while no relay runs", only: "mariadb", break_: purgeBinlog, want: expected{epochs: 2}},
	{name: "from the log to the table and back", break_: handOver},
}

// TestMatrix breaks one thing after the other, each in a database and topic of its
// own, on servers that only this test has. Nothing runs beside it: faults last for
// as long as they say, and servers come back, only if the machine has time for it.
func TestMatrix(t *testing.T) {
	if testing.Short() {
		t.Skip("takes minutes")
	}
	servertest.Postgres(t) // for the effects
	servers := servertest.Private(t, "postgres", "mariadb", "kafka")
	for _, kind := range []string{"postgres", "mariadb"} {
		for _, f := range matrix {
			if f.only != "" && f.only != kind {
				continue
			}
			t.Run(kind+"/"+f.name, func(t *testing.T) {
				w := newWorld(t, servers, kind)
				w.flow()
				began := time.Now()
				f.break_(w)
				w.Logf("broken for %s", time.Since(began).Round(100*time.Millisecond))
				w.more(200)
				w.verify(f.want)
				w.leave()
			})
		}
	}
}

// flow starts the relays, and waits until the log is followed.
func (w *world) flow() {
	w.Helper()
	for _, p := range w.relays {
		p.start()
	}
	w.until("the log is followed", func() bool {
		return w.relays[0].metric("tidings_relay_checkpoints_total")+w.relays[1].metric("tidings_relay_checkpoints_total") > 0
	})
	w.more(100)
}

// leave stops the relays and frees what the server keeps for them.
func (w *world) leave() {
	w.Helper()
	for _, p := range w.relays {
		p.stop()
	}
	if w.kind == "postgres" {
		w.unread()
		w.tidings("relay", "drop-log", "--reason", "the test is over")
	}
}

func killLeaders(w *world) {
	for range 4 {
		p := w.relays[w.leader()]
		p.kill()
		w.more(50)
		p.start()
	}
	// Both at once.
	for _, p := range w.relays {
		p.kill()
	}
	for _, p := range w.relays {
		p.start()
	}
}

func killInLargeTransaction(w *world) {
	const rows = 20_000
	for range 2 {
		before := w.handled()
		w.load.burst.Store(rows)
		w.until("the transaction is on its way", func() bool { return w.handled() > before+2000 })
		leader := w.relays[w.leader()]
		leader.kill()
		leader.start()
		w.until("the rest of the transaction", func() bool { return w.handled() > before+rows })
	}
}

func stopPastLease(w *world) {
	leader := w.leader()
	p := w.relays[leader]
	p.signal(syscall.SIGSTOP)
	w.more(50) // the other one has taken over, perhaps when the lease ran out
	w.pass(pastLease)
	p.signal(syscall.SIGCONT)
	w.until("the relay that slept stands by", func() bool {
		return p.metric("tidings_relay_leading") == 0 && p.metric("tidings_relay_standing_by") == 1
	})
}

func terminate(w *world) {
	for range 3 {
		p := w.relays[w.leader()]
		p.stop()
		began := time.Now()
		w.more(20)
		w.Logf("after SIGTERM more messages came within %s", time.Since(began).Round(10*time.Millisecond))
		p.start()
	}
}

// fight lets the network of whoever leads go silent again and again, so that
// each relay believes now and then to be the one.
func fight(w *world) {
	for range 4 {
		n := w.leader()
		w.nets[n].Stall()
		w.until("the other one leads", func() bool { return w.relays[1-n].metric("tidings_relay_leading") == 1 })
		w.nets[n].Restore()
	}
}

func cutNetwork(w *world) {
	n := w.leader()
	w.nets[n].Cut()
	w.more(50)
	w.nets[n].Restore()
	for _, net := range w.nets {
		net.Cut()
	}
	w.pass(2 * time.Second)
	for _, net := range w.nets {
		net.Restore()
	}
}

func slowNetwork(w *world) {
	for _, net := range w.nets {
		net.Slow(60 * time.Millisecond)
	}
	w.pass(pastLease)
	w.more(300)
	for _, net := range w.nets {
		net.Restore()
	}
}

func halfOpen(w *world) {
	n := w.leader()
	w.nets[n].Stall()
	w.more(50)
	w.pass(pastLease)
	w.nets[n].Restore()
	for _, net := range w.nets {
		net.Stall()
	}
	w.pass(pastLease)
	for _, net := range w.nets {
		net.Restore()
	}
}

func terminateSessions(w *world) {
	for range 5 {
		switch w.kind {
		case "postgres":
			w.exec(`SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()`)
		case "mariadb":
			rows, err := w.db.SQL.QueryContext(w.ctx, `SELECT id FROM information_schema.processlist WHERE id <> CONNECTION_ID() AND (db = DATABASE() OR command LIKE 'Binlog Dump%')`)
			if err != nil {
				w.Fatal(err)
			}
			var ids []int64
			for rows.Next() {
				var id int64
				if err := rows.Scan(&id); err != nil {
					w.Fatal(err)
				}
				ids = append(ids, id)
			}
			if err := rows.Close(); err != nil {
				w.Fatal(err)
			}
			for _, id := range ids {
				_, _ = w.db.SQL.ExecContext(w.ctx, fmt.Sprintf("KILL %d", id)) // it may be gone, and may be this pool's own
			}
		}
		w.more(30)
	}
}

func lateBroker(w *world) {
	for range 2 {
		w.servers.Signal("kafka", syscall.SIGSTOP)
		w.pass(pastLease)
		w.servers.Signal("kafka", syscall.SIGCONT)
		w.more(50)
	}
}

// refusingBroker asks for more replicas than there are.
func refusingBroker(w *world) {
	set := func(value string) {
		w.Helper()
		config := []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "min.insync.replicas", Value: &value}}
		if _, err := w.topics.AlterTopicConfigs(w.ctx, config, w.channel); err != nil {
			w.Fatal(err)
		}
	}
	set("2")
	w.pass(3 * time.Second)
	leader := w.relays[w.leader()]
	leader.kill()
	leader.start()
	w.pass(2 * time.Second)
	set("1")
}

func (w *world) slot() string {
	w.Helper()
	var slot string
	w.query(&slot, `SELECT slot_name FROM pg_replication_slots WHERE database = current_database()`)
	return slot
}

// unread waits until the server has seen that nobody reads from the slot any more.
func (w *world) unread() {
	w.Helper()
	w.until("nobody reads from the slot", func() bool {
		var active bool
		w.query(&active, `SELECT active FROM pg_replication_slots WHERE database = current_database()`)
		return !active
	})
}

func dropSlot(w *world) {
	slot := w.slot()
	w.until("the slot is gone", func() bool {
		w.exec(`SELECT count(pg_terminate_backend(active_pid)) FROM pg_replication_slots WHERE slot_name = $1 AND active`, slot)
		_, err := w.db.SQL.ExecContext(w.ctx, `SELECT pg_drop_replication_slot($1)`, slot)
		return err == nil
	})
}

func dropSlotOfStopped(w *world) {
	for _, p := range w.relays {
		p.stop()
	}
	w.pass(time.Second) // rows that no relay has read
	w.unread()
	w.exec(`SELECT pg_drop_replication_slot($1)`, w.slot())
	w.pass(time.Second)
	w.relays[0].start()
	w.relays[1].start()
}

func purgeBinlog(w *world) {
	for _, p := range w.relays {
		p.stop()
	}
	w.pass(time.Second)
	// The server keeps a file for as long as one of its threads has it open.
	w.until("the purge", func() bool {
		w.exec(`FLUSH BINARY LOGS`)
		files := w.binlogs()
		w.exec(`PURGE BINARY LOGS TO '` + files[len(files)-1] + `'`)
		return len(w.binlogs()) == 1
	})
	w.pass(time.Second)
	w.relays[0].start()
	w.relays[1].start()
}

// binlogs are the names of the server's log files, oldest first.
func (w *world) binlogs() (names []string) {
	w.Helper()
	rows, err := w.db.SQL.QueryContext(w.ctx, `SHOW BINARY LOGS`)
	if err != nil {
		w.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		var size int64
		if err := rows.Scan(&name, &size); err != nil {
			w.Fatal(err)
		}
		names = append(names, name)
	}
	if err := rows.Err(); err != nil || len(names) == 0 {
		w.Fatalf("the server lists no log files: %v", err)
	}
	return names
}

func handOver(w *world) {
	for range 2 {
		w.tidings("relay", "switch", "--to", "table", "--reason", "crash test", "--wait", "60s")
		w.more(100)
		w.tidings("relay", "switch", "--to", "log", "--reason", "crash test", "--wait", "60s")
		w.more(100)
	}
}
