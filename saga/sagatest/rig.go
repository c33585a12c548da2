package sagatest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"tidings.example"
	"tidings.example/broker"
	"tidings.example/outbox"
	"tidings.example/saga"
	"tidings.example/saga/machine"
	"tidings.example/store/memory"
)

// begin is when every test begins.
var begin = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

// service is the name of the orchestrating service.
const service = "orchestrator"

// A rig is an orchestrator in memory: its manager is not run, but called by hand.
type rig struct {
	db      *memory.DB
	manager *saga.Manager[*memory.Tx]
	now     time.Time
	// appended is what the running transaction sends, sent what was committed.
	appended, sent []tidings.Message
	// end, if it is not nil, ends the next transaction that would commit, and only that.
	end error
	// mark, if it is not nil, is called before each transaction; what it returns, after a rollback.
	mark func() (rollback func())
	// recorded are journal entries of the running transaction, entries those that were committed.
	recorded, entries []machine.Entry
	// trouble is what the manager reports as an error to people.
	trouble error
}

func newRig(definitions []saga.AnyDefinition) (*rig, error) {
	r := &rig{db: memory.New(), now: begin}
	var err error
	r.manager, err = saga.New(saga.Config[*memory.Tx]{Name: service, Store: sagas{r.db.Sagas(), r}, Outbox: r.outbox(), Inbox: r.db.Inbox(),
		Broker: nobody{}, Definitions: definitions, Now: r.clock, Jitter: func() float64 { return 0.5 }, Logger: slog.New(listener{r}), Observer: observer{r}})
	return r, err
}

// sagas is the manager's store, in the rig's transactions.
type sagas struct {
	*memory.Sagas
	r *rig
}

func (s sagas) InTx(ctx context.Context, fn func(ctx context.Context, tx *memory.Tx) error) error {
	return s.r.transact(s.r.db, fn)
}

// observer notes what the journals of sagas say.
type observer struct{ r *rig }

func (o observer) Recorded(_ saga.Ref, e machine.Entry)         { o.r.recorded = append(o.r.recorded, e) }
func (o observer) Ended(saga.Ref, machine.State, time.Duration) {}
func (o observer) Unknown(saga.Ref)                             {}

// listener notes what the manager logs as an error: that it cannot do something with a saga.
type listener struct{ r *rig }

func (l listener) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelError }
func (l listener) WithAttrs([]slog.Attr) slog.Handler               { return l }
func (l listener) WithGroup(string) slog.Handler                    { return l }
func (l listener) Handle(_ context.Context, record slog.Record) error {
	why := record.Message
	record.Attrs(func(a slog.Attr) bool {
		if a.Key == "error" {
			why += ": " + a.Value.String()
		}
		return true
	})
	l.r.trouble = errors.New(why)
	return nil
}

func (r *rig) clock() time.Time { return r.now }

// nobody is a broker that delivers nothing: the manager's inbox is not run.
type nobody struct{}

func (nobody) Subscribe(ctx context.Context, _ broker.Subscription, _ func(context.Context, broker.Delivery)) error {
	<-ctx.Done()
	return nil
}

// outbox appends to what the running transaction sends.
func (r *rig) outbox() *outbox.Outbox[*memory.Tx] { return outbox.New[*memory.Tx](appender{r}, 0) }

type appender struct{ r *rig }

func (a appender) Insert(_ context.Context, _ *memory.Tx, ms []tidings.Message) error {
	a.r.appended = append(a.r.appended, ms...)
	return nil
}

// transact runs fn in a transaction of a database. What it has sent counts if it
// commits, which it does unless fn fails or the transaction is to end with r.end.
func (r *rig) transact(db *memory.DB, fn func(ctx context.Context, tx *memory.Tx) error) error {
	r.appended, r.recorded = nil, nil
	rollback := func() {}
	if r.mark != nil {
		rollback = r.mark()
	}
	err := db.InTx(context.Background(), func(ctx context.Context, tx *memory.Tx) error {
		if err := recovered(func() error { return fn(ctx, tx) }); err != nil {
			return err
		}
		end := r.end
		r.end = nil
		return end
	})
	if err != nil {
		rollback()
	} else {
		r.sent = append(r.sent, r.appended...)
		r.entries = append(r.entries, r.recorded...)
	}
	r.appended = nil
	return err
}

// A panicError is a panic of the user's code.
type panicError struct{ value any }

func (p *panicError) Error() string { return fmt.Sprintf("panic: %v", p.value) }

func recovered(fn func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &panicError{v}
		}
	}()
	return fn()
}

// take gives a reply, or an event, to the manager.
func (r *rig) take(m *tidings.Message) error {
	return r.transact(r.db, func(ctx context.Context, tx *memory.Tx) error {
		return r.manager.Handle(tidings.WithCause(ctx, m), tx, m)
	})
}

// collect returns what was sent since it was called last.
func (r *rig) collect() []tidings.Message {
	sent := r.sent
	r.sent = nil
	return sent
}

// due returns when something is due; ok is false for never.
func (r *rig) due() (time.Time, bool) {
	due, ok, _ := r.db.Sagas().NextWake(context.Background()) // memory knows no errors
	return due, ok
}

// fire lets the manager do what is due.
func (r *rig) fire() error {
	for range maxEvents {
		done, err := r.manager.Timers().Fire(context.Background(), r.now, 100)
		if err != nil || done == 0 {
			return err
		}
	}
	return errors.New("something is due again and again")
}

// maxEvents is how many things may happen in one history.
const maxEvents = 2000

// get returns a saga and where it stands.
func (r *rig) get(ref saga.Ref) (*saga.Record, machine.Instance, error) {
	var i machine.Instance
	record, err := r.db.Sagas().Get(context.Background(), ref)
	if err != nil || record == nil {
		return record, i, err
	}
	return record, i, json.Unmarshal(record.Instance, &i)
}
