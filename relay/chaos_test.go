package relay

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"tidings.example"
	"tidings.example/broker/inproc"
)

// Several relays at once, each of which is killed, frozen and thawed, and loses
// its database, over a broker that fails, loses acknowledgements and is cut off,
// while rows are committed in any order, some of them bad until an operator
// repairs them. Whatever happens: each message arrives, with one number, and
// behind those of its key that were committed before it.
func TestRelaysSurviveChaos(t *testing.T) {
	t.Parallel()
	for _, from := range []Reading{FromTable, FromLog, both} {
		t.Run(string(from), func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(rt *rapid.T) {
				script := rapid.SliceOfN(rapid.Custom(drawEvent), 5, 60).Draw(rt, "script")
				failure := ""
				synctest.Test(t, func(*testing.T) {
					defer func() {
						if said, ok := recover().(failed); ok {
							failure = string(said)
						}
					}()
					newChaos(failing{}, from).run(script)
				})
				if failure != "" {
					rt.Fatal(failure)
				}
			})
		})
	}
}

// An event is one thing that happens; n and who say more.
type event struct {
	what   string
	n, who int
}

func drawEvent(t *rapid.T) event {
	return event{
		what: rapid.SampledFrom([]string{
			"append", "append", "append", "append", "append late", "append bad", "commit late", "repair",
			"wait", "wait", "wait", "start", "kill", "stop", "freeze", "thaw", "database fails", "answer is lost",
			"ask for the log", "ask for the table", "the log is lost", "others write", "append past the table",
			"broker fails", "acknowledgements are lost", "hold acknowledgements", "release", "cut", "restore",
		}).Draw(t, "what"),
		n:   rapid.IntRange(1, 8).Draw(t, "n"),
		who: rapid.IntRange(0, 2).Draw(t, "who"),
	}
}

type chaos struct {
	t        tb
	from     Reading
	logged   map[string]bool // messages that can only have come from the log
	losses   int
	book     *book
	broker   *inproc.Broker
	procs    [3]*proc
	open     []Row            // not committed yet
	commits  map[string]int   // when each message was committed
	place    map[string]int64 // its position
	releases []func()         // of what ails the broker
	ending   sync.WaitGroup   // processes that were told to stop
}

func newChaos(t tb, from Reading) *chaos {
	b := newBook()
	if from == FromLog {
		b.reading = FromLog
	}
	return &chaos{t: t, from: from, logged: map[string]bool{}, book: b, broker: inproc.New(inproc.Config{}), commits: map[string]int{}, place: map[string]int64{}}
}

func (c *chaos) start(who int) {
	if c.procs[who] != nil {
		return
	}
	p := &proc{seat: newSeat(c.book)}
	p.meet = p.ail
	m := &meddler{Broker: c.broker}
	m.publish = func(_ int32, ctx context.Context, ms []*tidings.Message, done func(int, error)) {
		p.frozen()
		c.broker.Publish(ctx, ms, done)
	}
	_, p.stop = process(c.t, p.seat, c.broker, func(cfg *Config) {
		cfg.Broker, cfg.Holder = m, fmt.Sprintf("relay-%d", who)
	})
	c.procs[who] = p
}

// end ends a process, by a kill or cleanly. It does not wait: the broker may
// owe acknowledgements.
func (c *chaos) end(who int, kill bool) {
	p := c.procs[who]
	if p == nil {
		return
	}
	if kill {
		p.kill()
	}
	p.thaw()
	c.ending.Go(p.stop)
	c.procs[who] = nil
}

func (c *chaos) append(e event) {
	for range e.n {
		id := fmt.Sprintf("m%03d", len(c.place))
		row := Row{Position: c.book.position(), Message: message(id, fmt.Sprintf("k%d", e.who))}
		c.place[id] = row.Position
		switch e.what {
		case "append late":
			c.open = append(c.open, row)
			continue
		case "append bad":
			row.Message.Type = ""
		}
		c.commit(row)
	}
}

func (c *chaos) commit(rows ...Row) {
	for _, r := range rows {
		c.commits[r.Message.ID] = len(c.commits)
		c.logged[r.Message.ID] = c.from == FromLog && c.book.saved() >= 0
	}
	c.book.commit(rows...)
}

func (c *chaos) repair() {
	c.book.repair(func(m *tidings.Message) { m.Type = "OrderCreated" })
}

func (c *chaos) release() {
	for _, release := range c.releases {
		release()
	}
	c.releases = nil
}

func (c *chaos) run(script []event) {
	c.start(0)
	for _, e := range script {
		c.happen(e)
	}
	// All is well again, for long enough.
	c.release()
	for i := range c.procs {
		c.start(i)
		c.procs[i].thaw()
	}
	c.commit(c.open...)
	until(c.t, "everything is published", func() bool {
		c.repair()
		return c.book.settled() && c.book.nothingAside()
	})
	for i := range c.procs {
		c.end(i, false)
	}
	c.ending.Wait()
	c.check()
}

func (c *chaos) happen(e event) {
	p := c.procs[e.who]
	switch e.what {
	case "append", "append late", "append bad":
		c.append(e)
	case "commit late":
		c.commit(c.open...)
		c.open = nil
	case "repair":
		c.repair()
	case "wait":
		<-time.After(time.Duration(1<<e.n) * 20 * time.Millisecond)
	case "start":
		c.start(e.who)
	case "ask for the log", "ask for the table", "the log is lost", "append past the table", "others write":
		c.ofLog(e)
	case "kill", "stop":
		c.end(e.who, e.what == "kill")
	case "broker fails":
		c.broker.FailNext(e.n, errors.New("not now"))
	case "acknowledgements are lost":
		c.broker.LoseAckNext(e.n, errors.New("connection lost"))
	case "hold acknowledgements":
		c.releases = append(c.releases, c.broker.HoldAcks())
	case "cut":
		c.releases = append(c.releases, c.broker.Cut())
	case "release", "restore":
		c.release()
	}
	if p == nil {
		return
	}
	switch e.what {
	case "freeze":
		p.freeze()
	case "thaw":
		p.thaw()
	case "database fails", "answer is lost":
		p.mu.Lock()
		defer p.mu.Unlock()
		if e.what == "database fails" {
			p.before = e.n
		} else {
			p.after = e.n
		}
	}
}

// ofLog is what happens only where rows are read from the log, or from both.
func (c *chaos) ofLog(e event) {
	switch {
	case c.from == FromTable:
	case e.what == "others write":
		c.book.foreign(e.n)
	case e.what == "append past the table":
		if c.from == FromLog && c.book.saved() >= 0 {
			id := fmt.Sprintf("m%03d", len(c.place))
			c.place[id], c.commits[id], c.logged[id] = 0, len(c.commits), true
			c.book.tableless(Row{Message: message(id, fmt.Sprintf("k%d", e.who))})
		}
	case c.from == FromLog:
	case e.what == "ask for the log":
		c.book.ask(FromLog)
	case e.what == "ask for the table":
		c.book.ask(FromTable)
	case e.what == "the log is lost":
		if c.book.saved() >= 0 {
			c.losses++
			c.book.lose()
		}
	}
}

func (c *chaos) check() {
	got := 0
	for key, ids := range consistent(c.t, c.broker.Messages("orders")) {
		got += len(ids)
		for i, later := range ids {
			for _, earlier := range ids[:i] {
				// Rows of the table, as those before a start, come by their positions.
				inLog := c.logged[later] && c.logged[earlier]
				if c.commits[later] < c.commits[earlier] && (inLog || c.place[later] < c.place[earlier]) {
					c.t.Fatalf("of key %s %s was committed before %s and published after it: %v", key, later, earlier, ids)
				}
			}
		}
	}
	if got != len(c.place) {
		c.t.Fatalf("%d messages committed, %d published", len(c.place), got)
	}
	if len(c.book.wrong) > 0 {
		c.t.Fatalf("asked of the source: %v", c.book.wrong)
	}
	if len(c.book.reasons) > 1+c.losses || len(c.book.plans) > 0 || slices.Contains(c.book.reasons, "") {
		c.t.Fatalf("epochs were opened for %q, and %d plans are left", c.book.reasons, len(c.book.plans))
	}
}
