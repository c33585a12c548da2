package bench

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"tidings.example"
	"tidings.example/broker"
	"tidings.example/inbox"
	"tidings.example/internal/connect"
	"tidings.example/internal/wait"
)

// kills kills a relay with SIGKILL in the middle of a drain, once with nobody
// beside it, so that it is started again at once, and once with a standby.
func (o *Options) kills(ctx context.Context, db *connect.Database, b *connect.Broker, r *Report) (err error) {
	if err := makeTable(ctx, db); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dropTable(context.WithoutCancel(ctx), db)) }()
	for _, who := range []string{"restarted", "standby"} {
		channel := channelName("kill-" + who)
		if err := o.killed(ctx, db, b, r, channel, who); err != nil {
			return fmt.Errorf("kill -9 with a %s relay: %w", who, err)
		}
		repeated, err := o.effects(ctx, db, b, channel)
		if err != nil {
			return fmt.Errorf("handle what came after kill -9: %w", err)
		}
		r.add(who+" relay: effects repeated at a consumer", float64(repeated), "effects")
	}
	return nil
}

// killed fills the outbox, kills the relay when a quarter of it has arrived, and
// reports when the first new record came and how many came twice.
func (o *Options) killed(ctx context.Context, db *connect.Database, b *connect.Broker, r *Report, channel, who string) (err error) {
	if err := b.EnsureChannels(ctx, channel); err != nil {
		return err
	}
	if err := o.fill(ctx, db, channel); err != nil {
		return err
	}
	seen := newTrail()
	consuming, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() {
		ended <- b.Subscribe(consuming, broker.Subscription{Subscriber: channel, Channels: []string{channel}}, seen.deliver)
	}()
	defer func() {
		stop()
		err = errors.Join(err, <-ended)
	}()

	o.progress("draining, and killing the relay")
	p, err := startRelay(ctx, *o)
	if err != nil {
		return err
	}
	if _, _, err := p.waitPublished(ctx, 1); err != nil {
		return err
	}
	var next *relayProcess
	if who == "standby" {
		if next, err = startRelay(ctx, *o); err != nil {
			return err
		}
		if err := wait.For(ctx, time.Minute, askEvery, func() error {
			v, _, err := next.metric(ctx, "tidings_relay_standing_by")
			if err == nil && v != 1 {
				err = errors.New("the second relay does not stand by")
			}
			return err
		}); err != nil {
			return err
		}
	}
	if err := seen.wait(ctx, o.Rows/4); err != nil {
		return err
	}
	at, err := p.kill()
	if err != nil {
		return err
	}
	if arrived := seen.different(); arrived >= o.Rows {
		return fmt.Errorf("all %d rows were published before the kill: use more --rows", arrived)
	}
	if next == nil {
		if next, err = startRelay(ctx, *o); err != nil {
			return err
		}
	}
	if err := seen.wait(ctx, o.Rows); err != nil {
		return fmt.Errorf("%w; the relay says: %s", err, next.stderr.String())
	}
	if _, err := next.stop(); err != nil {
		return err
	}
	return seen.report(r, who, at)
}

// effects runs an inbox over everything that the broker holds, and returns how
// many messages had their effect more than once.
func (o *Options) effects(ctx context.Context, db *connect.Database, b *connect.Broker, channel string) (repeated int, err error) {
	o.progress("handling it all")
	m := newMeter(o.Rows)
	in, err := inbox.New(inbox.Config[*sql.Tx]{
		Subscriber: channel + "-effects", Store: db.Inbox, Broker: b, Channels: []string{channel}, Concurrency: o.Workers, BatchSize: o.Batch,
		Handler: func(ctx context.Context, tx *sql.Tx, msg *tidings.Message) error {
			if err := insertNote(ctx, db, tx, channel+" "+msg.ID); err != nil {
				return err
			}
			m.count(1)
			return nil
		},
	})
	if err != nil {
		return 0, err
	}
	if err := m.run(ctx, in.Run); err != nil {
		return 0, err
	}
	var all, different int
	query := "SELECT count(*), count(DISTINCT note) FROM " + tableName + " WHERE note LIKE '" + channel + " %'"
	if err := db.SQL.QueryRowContext(ctx, query).Scan(&all, &different); err != nil {
		return 0, err
	}
	if different != o.Rows {
		return 0, fmt.Errorf("%d of %d messages had an effect", different, o.Rows)
	}
	return all - different, nil
}

// A trail is what a consumer without an inbox saw, in order.
type trail struct {
	mu      sync.Mutex
	numbers map[stamp]string // the message's id
	ids     map[string]bool
	at      []time.Time
	fresh   []bool // whether it was there for the first time
	wrong   error
}

type stamp struct {
	epoch    string
	lane     int
	sequence uint64
}

func newTrail() *trail { return &trail{numbers: map[stamp]string{}, ids: map[string]bool{}} }

func (t *trail) deliver(_ context.Context, d broker.Delivery) {
	m, now := &d.Message, time.Now()
	s := stamp{m.Stamp.Epoch, m.Stamp.Lane, m.Stamp.Sequence}
	t.mu.Lock()
	if id, ok := t.numbers[s]; ok && id != m.ID {
		t.wrong = fmt.Errorf("number %d of lane %d was given to two messages, %s and %s", s.sequence, s.lane, id, m.ID)
	}
	t.numbers[s] = m.ID
	t.at, t.fresh = append(t.at, now), append(t.fresh, !t.ids[m.ID])
	t.ids[m.ID] = true
	t.mu.Unlock()
	d.Ack()
}

func (t *trail) different() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.ids)
}

// wait returns when n different messages have come.
func (t *trail) wait(ctx context.Context, n int) error {
	return wait.For(ctx, 2*time.Minute, askEvery, func() error {
		if got := t.different(); got < n {
			return fmt.Errorf("only %d of %d messages arrived", got, n)
		}
		return nil
	})
}

// report tells what the consumer saw of a kill. What came before the longest
// silence after it was still on its way: the first new record is the first one
// behind it that had not been there.
func (t *trail) report(r *Report, who string, killed time.Time) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.wrong != nil {
		return t.wrong
	}
	var silence time.Duration
	behind := -1
	for i := 1; i < len(t.at); i++ {
		if gap := t.at[i].Sub(t.at[i-1]); t.at[i].After(killed) && gap > silence {
			silence, behind = gap, i
		}
	}
	for behind >= 0 && behind < len(t.at) && !t.fresh[behind] {
		behind++
	}
	if behind < 0 || behind == len(t.at) {
		return errors.New("nothing new came after the kill: use more --rows")
	}
	r.add(who+" relay: first new record after a kill -9", float64(t.at[behind].Sub(killed).Microseconds())/1000, "ms")
	r.add(who+" relay: records repeated at the broker", float64(len(t.at)-len(t.ids)), "records")
	return nil
}

func insertNote(ctx context.Context, db *connect.Database, tx *sql.Tx, note string) error {
	statement := "INSERT INTO " + tableName + " (amount, note) VALUES (0, ?)"
	if db.Kind == "postgres" {
		statement = "INSERT INTO " + tableName + " (amount, note) VALUES (0, $1)"
	}
	_, err := tx.ExecContext(ctx, statement, note)
	return err
}
