package bench

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"sync"
	"time"

	"tidings.example"
	"tidings.example/command"
	"tidings.example/inbox"
	"tidings.example/internal/connect"
	"tidings.example/relay"
	"tidings.example/saga"
	"tidings.example/service"
)

// A sagaCommand is what the participant is asked.
type sagaCommand struct{ Order int }

func (sagaCommand) CommandType() string { return "Reserve" }

// sagaData is the data of the measured sagas.
type sagaData struct {
	Order int
	Text  string
}

// sagaWaits is how long the waiting sagas wait: longer than anybody measures.
const sagaWaits = 24 * time.Hour

// sagaTransactions is how many transactions a saga of three steps takes: its
// start with the first, the participant's, and the reply's with the third.
const sagaTransactions = 3

// Saga measures sagas of three steps: a local one, a command to a participant, a
// local one. Orchestrator and participant have a database each, opened by open; whoever opened the broker closes it. The floor is the same number of bare transactions with one insert each, on the
// orchestrator's database. At half of the measured rate, sagas are started in an open loop for o.For,
// for the time from start to end. At last o.Waiting sagas wait, and the process's CPU is read.
func Saga(ctx context.Context, o Options, broker *connect.Broker, open func(name string) (*connect.Database, error)) (r *Report, err error) {
	s := sagaBench{broker: broker}
	defer func() { err = errors.Join(err, s.close()) }()
	for _, side := range []struct {
		name string
		db   **connect.Database
	}{{"orchestrator", &s.orders}, {"participant", &s.others}} {
		if *side.db, err = open(side.name); err != nil {
			return nil, err
		}
		if err := errors.Join(prepare(ctx, *side.db), makeTable(ctx, *side.db)); err != nil {
			return nil, err
		}
	}
	if err := s.build(ctx, o); err != nil {
		return nil, err
	}
	r = newReport("saga", s.orders.Kind, s.broker.Kind, "%d sagas of three steps, %d started at a time", o.Rows, o.Workers)

	o.progress("%d bare transactions", sagaTransactions*o.Rows)
	began := time.Now()
	if err := o.transactions(ctx, sagaTransactions*o.Rows, o.Workers, func(i int) error {
		return inTx(ctx, s.orders.SQL, func(tx *sql.Tx) error { return insertOne(ctx, s.orders, tx, i) })
	}); err != nil {
		return nil, err
	}
	bare := time.Since(began)
	r.add("bare transactions, as many", perSecond(o.Rows, bare), "sagas/s")
	return r, s.run(ctx, func(ctx context.Context) error { return s.measure(ctx, o, r) })
}

// sagaBench is the two services that are measured.
type sagaBench struct {
	orders, others *connect.Database
	broker         *connect.Broker
	sagas          *saga.Manager[*sql.Tx]
	order, wait    *saga.Definition[sagaData]
	parts          []service.Component
}

func (s *sagaBench) close() error {
	var errs []error
	for _, db := range []*connect.Database{s.orders, s.others} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(errs...)
}

func (s *sagaBench) build(ctx context.Context, o Options) error {
	name := channelName("saga")
	participant := command.Participant{Name: "others", Channel: name + ".commands"}
	insert := func(ctx context.Context, tx *sql.Tx, d *sagaData) error { return insertOne(ctx, s.orders, tx, d.Order) }
	s.order = saga.Define("order",
		saga.Local("create", insert, saga.UndoLocally(insert)),
		saga.Invoke("reserve", participant, func(d *sagaData) sagaCommand { return sagaCommand{d.Order} }),
		saga.Local("approve", insert))
	s.wait = saga.Define("wait", saga.WaitUntil("wait", func(_ *sagaData, now time.Time) time.Time { return now.Add(sagaWaits) }))
	var err error
	s.sagas, err = saga.New(saga.Config[*sql.Tx]{Name: name, Store: s.orders.Sagas, Outbox: s.orders.Outbox, Inbox: s.orders.Inbox,
		Broker: s.broker, Definitions: []saga.AnyDefinition{s.order, s.wait}, BatchSize: o.Batch})
	if err != nil {
		return err
	}
	receiver := command.NewReceiver(name+".participant", s.others.Outbox, s.others.Commands)
	command.On(receiver, participant, func(ctx context.Context, tx *sql.Tx, c command.Of[sagaCommand]) (command.Answer, error) {
		return command.Done(), insertOne(ctx, s.others, tx, c.Data.Order)
	})
	in, err := receiver.Inbox(inbox.Config[*sql.Tx]{Store: s.others.Inbox, Broker: s.broker, BatchSize: o.Batch})
	if err != nil {
		return err
	}
	s.parts = []service.Component{s.sagas, in}
	for _, db := range []*connect.Database{s.orders, s.others} {
		carry, err := relay.New(relay.Config{Source: db.Relay(sourceName), Broker: s.broker})
		if err != nil {
			return err
		}
		s.parts = append(s.parts, carry)
	}
	return s.broker.EnsureChannels(ctx, participant.Channel, s.sagas.ReplyChannel())
}

// run runs the services while f works.
func (s *sagaBench) run(ctx context.Context, f func(ctx context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	var parts sync.WaitGroup
	for _, p := range s.parts {
		parts.Go(func() {
			if err := p.Run(ctx); err != nil {
				cancel(fmt.Errorf("%s: %w", p.Name(), err))
			}
		})
	}
	err := f(ctx)
	if cause := context.Cause(ctx); cause != nil && err != nil {
		err = cause
	}
	cancel(nil)
	parts.Wait()
	return err
}

func (s *sagaBench) measure(ctx context.Context, o Options, r *Report) error {
	o.progress("%d sagas", o.Rows)
	began := time.Now()
	if err := o.transactions(ctx, o.Rows, o.Workers, func(i int) error { return s.start(ctx, s.order, "drain", i) }); err != nil {
		return err
	}
	if err := s.ended(ctx, o); err != nil {
		return err
	}
	rate := perSecond(o.Rows, time.Since(began))
	r.against("sagas of three steps", rate, "sagas/s", "bare transactions, as many")
	if o.For > 0 {
		if err := s.paced(ctx, o, r, rate/2); err != nil {
			return err
		}
	}
	if o.Waiting > 0 {
		return s.waiting(ctx, o, r)
	}
	return nil
}

// start starts a saga in a transaction of its own.
func (s *sagaBench) start(ctx context.Context, d *saga.Definition[sagaData], part string, i int) error {
	id := part + "-" + strconv.Itoa(i) + "-" + tidings.NewID()
	return inTx(ctx, s.orders.SQL, func(tx *sql.Tx) error {
		_, err := saga.Start(ctx, tx, s.sagas, d, id, sagaData{Order: i, Text: "an order of some customer"})
		return err
	})
}

// ended waits until all sagas have.
func (s *sagaBench) ended(ctx context.Context, o Options) error {
	limit := time.After(10 * time.Minute)
	for {
		var left int
		err := s.orders.SQL.QueryRowContext(ctx, "SELECT count(*) FROM tidings_saga WHERE ended_at IS NULL").Scan(&left)
		if err != nil || left == 0 {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-limit:
			return fmt.Errorf("%d sagas have not ended after 10 minutes", left)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// paced starts sagas at a rate, whether or not earlier ones have ended, and takes the time
// from when each was to start until it is seen to have ended.
func (s *sagaBench) paced(ctx context.Context, o Options, r *Report, rate float64) error {
	n := max(int(rate*o.For.Seconds()), 1)
	o.progress("%d sagas at %.0f a second", n, rate)
	took, failures := make([]time.Duration, n), make([]error, n)
	var all sync.WaitGroup
	began := time.Now()
	for i := range n {
		due := began.Add(time.Duration(float64(i) / rate * float64(time.Second)))
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(time.Until(due)):
		}
		all.Go(func() {
			id := "paced-" + strconv.Itoa(i) + "-" + tidings.NewID()
			failures[i] = inTx(ctx, s.orders.SQL, func(tx *sql.Tx) error {
				_, err := saga.Start(ctx, tx, s.sagas, s.order, id, sagaData{Order: i})
				return err
			})
			if failures[i] == nil {
				_, failures[i] = saga.Wait(ctx, s.sagas, s.order, id)
			}
			took[i] = time.Since(due)
		})
	}
	all.Wait()
	if err := errors.Join(failures...); err != nil {
		return err
	}
	r.add("started at", rate, "sagas/s")
	r.latencies("start to end", took)
	return nil
}

// waiting starts sagas that wait, and reads the CPU time of this process while
// nothing else happens, before and after: relays and inboxes take some anyway.
func (s *sagaBench) waiting(ctx context.Context, o Options, r *Report) error {
	before, err := s.idle(ctx, o)
	if err != nil {
		return err
	}
	o.progress("%d waiting sagas", o.Waiting)
	const perTransaction = 100
	err = o.transactions(ctx, (o.Waiting+perTransaction-1)/perTransaction, o.Workers, func(i int) error {
		return inTx(ctx, s.orders.SQL, func(tx *sql.Tx) error {
			for k := range min(perTransaction, o.Waiting-(i-1)*perTransaction) {
				id := "wait-" + strconv.Itoa(i) + "-" + strconv.Itoa(k) + "-" + tidings.NewID()
				if _, err := saga.Start(ctx, tx, s.sagas, s.wait, id, sagaData{Order: i}); err != nil {
					return err
				}
			}
			return nil
		})
	})
	if err != nil {
		return err
	}
	after, err := s.idle(ctx, o)
	if err != nil {
		return err
	}
	r.add("CPU with none waiting", before, "% of one")
	r.against(fmt.Sprintf("CPU with %d waiting", o.Waiting), after, "% of one", "CPU with none waiting")
	return nil
}

// idle is how much of one CPU this process takes while nobody asks it for anything, in percent.
func (s *sagaBench) idle(ctx context.Context, o Options) (float64, error) {
	const settle, quiet = 5 * time.Second, 20 * time.Second
	runtime.GC()
	o.progress("reading the CPU time of %s", quiet)
	var began time.Duration
	for _, d := range []time.Duration{settle, quiet} {
		var ok bool
		if began, ok = cpuTime(); !ok {
			return 0, errors.New("this system does not say how much CPU time a process takes: use --waiting 0")
		}
		select {
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		case <-time.After(d):
		}
	}
	ended, _ := cpuTime()
	return 100 * float64(ended-began) / float64(quiet), nil
}
