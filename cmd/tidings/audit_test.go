package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"tidings.example"
	"tidings.example/inbox"
	"tidings.example/internal/audit"
	"tidings.example/internal/connect"
	"tidings.example/internal/servertest"
	"tidings.example/relay"
)

// TestAudit runs a relay and an inbox, and plants what an audit must find.
func TestAudit(t *testing.T) {
	t.Parallel()
	onKafka := func(t *testing.T, channel string) string { return kafka(t, channel) }
	for name, servers := range map[string]struct {
		store  func(t *testing.T) string
		broker func(t *testing.T, channel string) string
		// log: the relay reads the database's log.
		log bool
		// sameTwice: the broker stores a number again that it has had a moment ago.
		sameTwice bool
	}{
		"postgres and kafka":       {func(t *testing.T) string { return servertest.PostgresDatabase(t) }, onKafka, false, true},
		"mariadb and kafka":        {func(t *testing.T) string { return servertest.MySQLDatabase(t) }, onKafka, false, true},
		"postgres's log and kafka": {func(t *testing.T) string { return servertest.PostgresDatabase(t) }, onKafka, true, true},
		"mariadb's log and kafka":  {func(t *testing.T) string { return servertest.MySQLDatabase(t) }, onKafka, true, true},
		"sqlite and nats": {func(t *testing.T) string { return "sqlite:" + filepath.Join(t.TempDir(), "test.db") },
			func(t *testing.T, _ string) string { return natsServer(t) }, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			channel := servertest.Name("orders")
			s := &audited{t: t, channel: channel, source: servers.store(t), consumer: servers.store(t), broker: servers.broker(t, channel), read: "table"}
			if servers.log {
				s.read = "log"
			}
			mustRun(t, "migrate", "up", "--store-url", s.source)
			mustRun(t, "migrate", "up", "--store-url", s.consumer)
			s.db = openURL(t, s.source)
			if servers.log {
				defer s.dropLog()
			}
			s.whileAllIsWell()
			s.afterAMistake()
			s.afterSabotage(servers.sameTwice)
			s.badInput()
		})
	}
}

// audited is a source, a broker and a consumer.
type audited struct {
	t                                       *testing.T
	channel, source, consumer, broker, read string
	db                                      *connect.Database
	relay                                   *process
	stopInbox                               func()
	appended                                int
}

// dropLog tells the server not to keep its log for a relay that is gone.
func (s *audited) dropLog() {
	s.t.Helper()
	r := invoke(s.t, "relay", "drop-log", "--store-url", s.source, "--reason", "end of the test")
	if r.code != exitDone && r.code != exitNegative {
		s.t.Errorf("drop-log: %+v", r)
	}
}

// key is one of 20; appended messages use one after the other.
func key(i int) string { return fmt.Sprint("key", i%20) }

func lane(key string) int { return tidings.LaneOf(key, tidings.DefaultLanes) }

func (s *audited) append(key, payload string) {
	s.t.Helper()
	s.appended++
	if _, err := s.db.SQL.ExecContext(s.t.Context(), insertSQL(s.db.Kind), s.channel, key, "OrderCreated", []byte(payload)); err != nil {
		s.t.Error(err)
	}
}

func (s *audited) start() {
	s.relay = invocation{args: []string{"relay", "--source", "shop", "--channel", s.channel, "--read", s.read,
		"--store-url", s.source, "--broker-url", s.broker}}.start(s.t)
	s.relay.await("relay leads")
	s.stopInbox = s.receive()
}

func (s *audited) stop() {
	s.relay.signal(syscall.SIGTERM)
	s.relay.end()
	s.stopInbox()
}

// receive runs the inbox of a subscriber, which does not like some messages.
func (s *audited) receive() (stop func()) {
	s.t.Helper()
	db := openURL(s.t, s.consumer)
	b, err := connect.OpenBroker(s.t.Context(), s.broker, connect.Options{})
	if err != nil {
		s.t.Fatal(err)
	}
	in, err := inbox.New(inbox.Config[*sql.Tx]{Subscriber: "customers_" + s.channel, Store: db.Inbox, Broker: b, Channels: []string{s.channel},
		Handler: func(_ context.Context, _ *sql.Tx, m *tidings.Message) error {
			if strings.Contains(string(m.Payload), "bad") {
				return inbox.Permanent(errors.New("the customer is unknown"))
			}
			return nil
		}})
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- in.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			s.t.Errorf("inbox: %v", err)
		}
		_ = b.Close()
	})
	s.t.Cleanup(stop)
	return stop
}

// audit runs the program and returns its answer.
func (s *audited) audit(code int, more ...string) auditJSON {
	s.t.Helper()
	args := append([]string{"audit", "--store-url", s.source, "--broker-url", s.broker, "-o", "json",
		"--subscriber", "customers_" + s.channel + "=" + s.consumer}, more...)
	r := invoke(s.t, args...)
	if r.code != code {
		s.t.Fatalf("exit code %d, want %d\n%s%s", r.code, code, r.stdout, r.stderr)
	}
	return decode[auditJSON](s.t, r.stdout)
}

// named is what an audit has found, as "kind lane:first-last id".
func named(j auditJSON) []string {
	all := []string{}
	for _, d := range j.Differences {
		all = append(all, strings.TrimSpace(fmt.Sprintf("%s %d:%d-%d %s", d.Kind, d.Lane, d.First, d.Last, strings.Join(d.IDs, " "))))
	}
	slices.Sort(all)
	return all
}

func (s *audited) expect(what string, j auditJSON, want ...string) {
	s.t.Helper()
	slices.Sort(want)
	if got := named(j); !slices.Equal(got, want) {
		s.t.Errorf("%s: found\n%s\nwant\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// whileAllIsWell audits while messages are appended, published and handled; one is
// parked, with what is behind it, one is set aside.
func (s *audited) whileAllIsWell() {
	s.start()
	for i := range 200 {
		s.append(key(i), fmt.Sprintf(`{"n":%d}`, i))
	}
	consumer := openURL(s.t, s.consumer)
	eventually(s.t, "the subscriber has received something", func() error {
		names, err := consumer.Admin.Subscribers(s.t.Context())
		if err == nil && len(names) == 0 {
			err = errors.New("nothing yet")
		}
		return err
	})
	ctx, cancel := context.WithCancel(s.t.Context())
	var writing sync.WaitGroup
	writing.Go(func() {
		ticker := time.NewTicker(3 * time.Millisecond)
		defer ticker.Stop()
		for i := 0; ; i++ {
			select {
			case <-ticker.C:
				s.append(key(i), "{}")
			case <-ctx.Done():
				return
			}
		}
	})
	for range 3 {
		if j := s.audit(exitDone); !j.Agreed || len(j.Subscribers) != 1 || len(j.Channels) != 1 {
			s.t.Errorf("the audit says %+v", j)
		}
	}
	cancel()
	writing.Wait()
	s.append("parks", `{"bad":1}`)
	s.append("parks", "{}")
	s.append("aside", "{}")
	if _, err := s.db.SQL.ExecContext(s.t.Context(), insertSQL(s.db.Kind), s.channel, "aside", "Order Created", []byte("{}")); err != nil {
		s.t.Fatal(err)
	}
	var j auditJSON
	eventually(s.t, "a row is set aside and two messages are parked", func() error {
		if j = s.audit(exitDone); j.SetAside != 1 || j.Subscribers[0].Parked != 2 {
			return fmt.Errorf("%d and %d", j.SetAside, j.Subscribers[0].Parked)
		}
		return nil
	})
	published, parked := j.Channels[0], j.Subscribers[0].ParkedList
	if published.Published != uint64(s.appended) || published.Given != published.Published || j.Subscribers[0].Handled != published.Published {
		s.t.Errorf("of %d messages the audit has found %+v, handled are %d", s.appended, published, j.Subscribers[0].Handled)
	}
	if parked[0].Number != 1 || parked[1].Number != 2 || parked[0].Lane != lane("parks") || parked[0].Reason != "the customer is unknown" {
		s.t.Errorf("parked are %+v", parked)
	}
	text := mustRun(s.t, "audit", "--store-url", s.source, "--broker-url", s.broker, "--channel", s.channel, "--lanes", "--since", "1h",
		"--subscriber", "customers_"+s.channel+"="+s.consumer)
	for _, want := range []string{"everything agrees", "1 row is set aside", "has parked " + parked[0].Message} {
		if !strings.Contains(text, want) {
			s.t.Errorf("the text does not say %q:\n%s", want, text)
		}
	}
	if j := s.audit(exitDone, "--since", "2020-01-01T00:00:00Z", "--until", "2020-01-02T00:00:00Z"); j.Channels[0].Published != 0 {
		s.t.Errorf("long ago %d were published", j.Channels[0].Published)
	}
	// What an operator gives up is told.
	type listJSON struct {
		Parked []parkedJSON `json:"parked"`
	}
	all := decode[listJSON](s.t, mustRun(s.t, "parked", "list", "--store-url", s.consumer, "-o", "json")).Parked
	mustRun(s.t, "parked", "discard", fmt.Sprint(all[0].ID), "--store-url", s.consumer, "--reason", "test")
	eventually(s.t, "the discarded message is told", func() error {
		j := s.audit(exitDone)
		if d := j.Subscribers[0].Discarded; len(d) == 0 || d[0].Message != parked[0].Message || d[0].Number != 1 {
			return fmt.Errorf("discarded are %+v, parked %d", d, j.Subscribers[0].Parked)
		}
		return nil
	})
}

// afterAMistake skips a number: somebody has edited the counters.
func (s *audited) afterAMistake() {
	s.relay.signal(syscall.SIGTERM)
	s.relay.end()
	n, err := s.db.Admin.Numbered(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	counters := relay.Counters(slices.Clone(n.Counters[s.channel]))
	counters[lane("key1")]++
	skipped := counters[lane("key1")]
	s.exec(s.db.SQL, "UPDATE tidings_relay_counters SET counters = ? WHERE channel = ?", counters.Encode(), s.channel)
	s.stopInbox()
	s.start()
	s.append("key1", "{}")
	lost := fmt.Sprintf("lost %d:%d-%d", lane("key1"), skipped, skipped)
	eventually(s.t, "the next number is handled", func() error {
		if j := s.audit(exitNegative, "--wait", "5s"); j.Subscribers[0].Missing != 1 || j.Waiting > 0 {
			return fmt.Errorf("missing are %d, waiting %d", j.Subscribers[0].Missing, j.Waiting)
		}
		return nil
	})
	s.expect("a number is skipped", s.audit(exitNegative), lost)

	s.stop()
	consumer := openURL(s.t, s.consumer)
	s.exec(consumer.SQL, "UPDATE tidings_inbox_lane SET holes = NULL WHERE lane = ? AND channel = ?", lane("key1"), s.channel)
	s.expect("its hole is closed", s.audit(exitNegative), lost, "phantom"+strings.TrimPrefix(lost, "lost"))
}

// afterSabotage sets an inbox back, publishes past the relay and leaves a row
// unpublished.
func (s *audited) afterSabotage(sameTwice bool) {
	before := named(s.audit(exitNegative))
	n, err := s.db.Admin.Numbered(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	last := func(key string) uint64 { return n.Counters[s.channel][lane(key)] }
	consumer := openURL(s.t, s.consumer)
	s.exec(consumer.SQL, "UPDATE tidings_inbox_lane SET last = last - 1 WHERE lane = ? AND channel = ?", lane("key2"), s.channel)
	s.publish("stranger", "key3", tidings.Stamp{Epoch: n.Epoch, Lane: lane("key3"), Sequence: last("key3") + 5})
	if sameTwice {
		s.publish("double", "key4", tidings.Stamp{Epoch: n.Epoch, Lane: lane("key4"), Sequence: 1})
	}
	s.append("key5", "{}")
	j := s.audit(exitNegative, "--wait", "0s")
	var fresh []string
	for _, d := range named(j) {
		if !slices.Contains(before, d) {
			fresh = append(fresh, d)
		}
	}
	// While no relay reads the log, nobody knows what the last one has published.
	beyond := audit.Foreign
	if s.read == "log" {
		beyond = audit.Unfinished
	}
	spot := func(kind audit.Kind, key string, n uint64) string {
		return fmt.Sprintf("%s %d:%d-%d ", kind, lane(key), n, n)
	}
	want := map[string]string{
		spot(audit.Unhandled, "key2", last("key2")): "",
		spot(beyond, "key3", last("key3")+5):        "stranger",
		"waiting 0:1-1":                             "",
	}
	if sameTwice {
		want[spot(audit.Conflict, "key4", 1)] = "double"
	}
	// The stranger is not handled either.
	want[spot(audit.Unhandled, "key3", last("key3")+5)] = "stranger"
	if len(fresh) != len(want) {
		s.t.Errorf("found %q", fresh)
	}
	for start, id := range want {
		if !slices.ContainsFunc(fresh, func(d string) bool { return strings.HasPrefix(d, start) && strings.Contains(d, id) }) {
			s.t.Errorf("%q is not among %q", start+id, fresh)
		}
	}
	if n := int(j.Counts[audit.Unhandled]); n != 2 {
		s.t.Errorf("%d messages are not handled, want 2", n)
	}
}

// publish sends a message past the relay.
func (s *audited) publish(id, key string, stamp tidings.Stamp) {
	s.t.Helper()
	b, err := connect.OpenBroker(s.t.Context(), s.broker, connect.Options{})
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = b.Close() }()
	m := &tidings.Message{ID: id, Source: "shop", Channel: s.channel, Key: key, Type: "OrderCreated", Time: time.Now().UTC(),
		ContentType: "application/json", Payload: []byte("{}"), Stamp: stamp}
	done := make(chan error, 1)
	b.Publish(s.t.Context(), []*tidings.Message{m}, func(_ int, err error) { done <- err })
	if err := <-done; err != nil {
		s.t.Fatal(err)
	}
}

// exec runs a statement with ? for parameters.
func (s *audited) exec(db *sql.DB, query string, args ...any) {
	s.t.Helper()
	if s.db.Kind == "postgres" {
		for i := range args {
			query = strings.Replace(query, "?", fmt.Sprint("$", i+1), 1)
		}
	}
	result, err := db.ExecContext(s.t.Context(), query, args...)
	if err != nil {
		s.t.Fatal(err)
	}
	if n, err := result.RowsAffected(); err != nil || n != 1 {
		s.t.Fatalf("%s: %d rows changed (%v)", query, n, err)
	}
}

func (s *audited) badInput() {
	t, store, broker := s.t, s.source, s.broker
	run := func(more ...string) result {
		return invoke(t, append([]string{"audit", "--wait", "0s", "--store-url", store, "--broker-url", broker}, more...)...)
	}
	run("--channel", "absent").fails(t, exitFailed, `"absent"`, s.channel)
	run("--subscriber", "nobody="+s.consumer).fails(t, exitFailed, `"nobody"`, "customers_"+s.channel)
	invoke(t, "audit", "--store-url", s.consumer, "--broker-url", broker).fails(t, exitFailed, "no relay has published from this database")
	invoke(t, "audit", "--store-url", store, "--broker-url", natsServer(t)).fails(t, exitFailed, s.channel, "does not exist", "is nats://")
}

func TestAuditUsage(t *testing.T) {
	t.Parallel()
	run := func(more ...string) result {
		return invoke(t, append([]string{"audit", "--store-url", "sqlite:none.db", "--broker-url", "nats://127.0.0.1:1"}, more...)...)
	}
	invoke(t, "audit").fails(t, exitUsage, "--store-url is missing")
	invoke(t, "audit", "--store-url", "sqlite:none.db").fails(t, exitUsage, "--broker-url is missing")
	run("--since", "yesterday").fails(t, exitUsage, "--since", "yesterday", "RFC 3339")
	run("--since", "-1h").fails(t, exitUsage, "--since", "negative")
	run("--since", "1h", "--until", "2h").fails(t, exitUsage, "--since must be before --until")
	run("--subscriber", "customers=oracle://host/db").fails(t, exitUsage, "--subscriber customers", "oracle")
	run("--subscriber", "customers").fails(t, exitUsage, "NAME=URL")
	run("--subscriber", "a=sqlite:x.db", "--subscriber", "a=sqlite:y.db").fails(t, exitUsage, "given twice")
	run("--channel", "a b").fails(t, exitUsage, "--channel")
	run("--wait", "-1s").fails(t, exitUsage, "--wait")
}
