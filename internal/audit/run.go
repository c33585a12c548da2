package audit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"tidings.example/admin"
	"tidings.example/broker"
)

// A Store is what an audit asks of a database.
type Store interface {
	admin.Auditor
	admin.Outbox
	admin.Parked
}

// A Subscriber is an inbox to be audited.
type Subscriber struct {
	Name  string
	Store Store
}

// Config says what to audit.
type Config struct {
	Source Store
	// Log is nil where the source's database has no log that a relay can read.
	Log         admin.Log
	Broker      broker.RetainedReader
	Subscribers []Subscriber
	// Channels default to all that the source has published to in its epoch, and
	// that the subscribers have received from it.
	Channels []string
	// Range selects records by when the broker stored them.
	Range broker.TimeRange
	// Wait is how long what is on its way may take to arrive.
	Wait time.Duration
	// Progress, if not nil, is called now and then while a channel is read.
	Progress func(Progress)
}

// Progress is how far the reading of a channel is.
type Progress struct {
	Channel     string
	Read, Total int64
	// Again is set for the second reading, of channels with differences.
	Again bool
}

const (
	// attempts is how often a channel is read whose records are removed meanwhile.
	attempts = 3
	// progressInterval is how often Progress is called.
	progressInterval = 2 * time.Second
	// pollFirst and pollLast are how long to wait before looking again.
	pollFirst, pollLast = 100 * time.Millisecond, 2 * time.Second
)

// Run audits a running system. It changes nothing. An error means that there is
// no answer: a server fails, or a name is not known to it.
func Run(ctx context.Context, c Config) (*Report, error) {
	a := &auditor{Config: c, started: time.Now()}
	if err := a.first(ctx); err != nil {
		return nil, err
	}
	lanes := map[string]int{}
	for _, epoch := range a.e.First.Epochs {
		lanes[epoch.Name] = epoch.Lanes
	}
	for _, channel := range a.Channels {
		l, err := a.ledger(ctx, channel, lanes)
		if err != nil {
			return nil, err
		}
		a.e.Channels = append(a.e.Channels, l)
	}
	r, err := a.settled(ctx)
	if err != nil {
		return nil, err
	}
	if locator := NewLocator(r); locator != nil {
		for _, channel := range locator.Channels() {
			if err := a.read(ctx, channel, true, func(broker.Extent) {}, locator.Add); err != nil {
				return nil, err
			}
		}
		r = locator.Settle(r)
	}
	r.Took = time.Since(a.started)
	return r, nil
}

// auditor is one run.
type auditor struct {
	Config
	e       Evidence
	started time.Time
}

// first reads the source and the inboxes, before the ends of the channels are
// asked for, and checks the names.
func (a *auditor) first(ctx context.Context) (err error) {
	if a.e.First, err = a.Source.Numbered(ctx); err != nil {
		return err
	}
	source := a.e.First.Source
	if source != "" && a.e.First.Epoch == "" {
		return errors.New("the numbering of this outbox has ended, with tidings relay drop-log or the like: start a relay, which opens a new epoch, and audit then")
	}
	if source == "" {
		return errors.New("no relay has published from this database yet: --store-url must name the database whose outbox is audited")
	}
	a.e.Ranged, a.e.Cut = !a.Range.Since.IsZero(), !a.Range.Until.IsZero()
	known := map[string]bool{}
	for channel := range a.e.First.Counters {
		known[channel] = true
	}
	for _, s := range a.Subscribers {
		h, err := s.Store.Handled(ctx, s.Name, source)
		if err == nil && len(h.Lanes) == 0 {
			err = unknownSubscriber(ctx, s, source)
		}
		if err != nil {
			return err
		}
		for _, l := range h.Lanes {
			known[l.Lane.Channel] = true
		}
		a.e.Subscribers = append(a.e.Subscribers, Subscribed{Name: s.Name, First: h})
	}
	var names []string
	for name := range known {
		names = append(names, name)
	}
	slices.Sort(names)
	if len(a.Channels) == 0 {
		a.Channels = names
	}
	for _, channel := range a.Channels {
		// The counters of former epochs are not kept: their channels may be unknown.
		if !known[channel] && len(a.e.First.Epochs) < 2 {
			return fmt.Errorf("source %q has published nothing to channel %q; it has published to %s", source, channel, list(names))
		}
	}
	return nil
}

func unknownSubscriber(ctx context.Context, s Subscriber, source string) error {
	names, err := s.Store.Subscribers(ctx)
	switch {
	case err != nil:
		return err
	case slices.Contains(names, s.Name):
		return fmt.Errorf("subscriber %q has received nothing from source %q", s.Name, source)
	}
	return fmt.Errorf("its database has no inbox of subscriber %q; it has those of %s", s.Name, list(names))
}

func list(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	const most = 20
	if len(names) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}

// ledger reads a channel.
func (a *auditor) ledger(ctx context.Context, channel string, lanes map[string]int) (*Ledger, error) {
	for attempt := 1; ; attempt++ {
		l := NewLedger(a.e.First.Source, channel, lanes)
		err := a.read(ctx, channel, false, func(x broker.Extent) { l.Extent = x }, l.Add)
		if err == nil || attempt == attempts || !errors.Is(err, broker.ErrOvertaken) {
			return l, err
		}
	}
}

func (a *auditor) read(ctx context.Context, channel string, again bool, extent func(broker.Extent), add func(*broker.Retained)) error {
	p := Progress{Channel: channel, Again: again}
	next := time.Now().Add(progressInterval)
	return a.Broker.ReadRetained(ctx, channel, a.Range, func(x broker.Extent) error {
		p.Total = x.Records
		extent(x)
		return nil
	}, func(r *broker.Retained) error {
		add(r)
		if p.Read++; p.Read%1024 == 0 && a.Progress != nil && time.Now().After(next) {
			a.Progress(p)
			next = time.Now().Add(progressInterval)
		}
		return nil
	})
}

// settled compares, and again until nothing is left that may go away or the time
// to wait is over.
func (a *auditor) settled(ctx context.Context) (*Report, error) {
	deadline := time.Now().Add(a.Wait)
	for pause := pollFirst; ; pause = min(2*pause, pollLast) {
		if err := a.now(ctx); err != nil {
			return nil, err
		}
		r := Compare(&a.e)
		passing := slices.ContainsFunc(r.Differences, func(d Difference) bool { return d.Kind.passing() })
		left := time.Until(deadline)
		if !passing || left <= 0 {
			return r, nil
		}
		timer := time.NewTimer(min(pause, left))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, ctx.Err()
		}
	}
}

// now reads the source and the inboxes again.
func (a *auditor) now(ctx context.Context) (err error) {
	backlog, err := a.Source.Backlog(ctx)
	if err != nil {
		return err
	}
	a.e.SetAside, a.e.Led, a.e.Waiting = backlog.SetAside, backlog.Holder != "", 0
	// Rows that were appended since are nobody's concern.
	if backlog.Rows > 0 && (a.Wait == 0 || backlog.Oldest > time.Since(a.started)) {
		a.e.Waiting = backlog.Rows
	}
	if a.Log != nil {
		status, err := a.Log.LogStatus(ctx)
		if err != nil {
			return err
		}
		a.e.Reading = status.Reading
	}
	if a.e.Now, err = a.Source.Numbered(ctx); err != nil {
		return err
	}
	for i, s := range a.Subscribers {
		to := &a.e.Subscribers[i]
		if to.Now, err = s.Store.Handled(ctx, s.Name, a.e.Now.Source); err != nil {
			return err
		}
		if to.Parked, to.ParkedTotal, err = parked(ctx, s, a.e.Now.Source, a.Channels); err != nil {
			return err
		}
	}
	return nil
}

// maxParked is how many parked messages are named.
const maxParked = 1000

// parked lists what a subscriber has set aside.
func parked(ctx context.Context, s Subscriber, source string, channels []string) (all []ParkedNumber, total int, err error) {
	const page = 1000
	for after := int64(0); ; {
		found, err := s.Store.ListParked(ctx, admin.ParkedFilter{Subscriber: s.Name, After: after, Limit: page})
		if err != nil {
			return nil, 0, err
		}
		for i := range found {
			p := &found[i]
			after = p.ID
			m := &p.Message
			if m.Source != source || !slices.Contains(channels, m.Channel) {
				continue
			}
			if total++; total <= maxParked {
				all = append(all, ParkedNumber{ID: fmt.Sprint(p.ID), Message: m.ID, Channel: m.Channel, Key: m.Key,
					Reason: p.Reason, Lane: LaneID{m.Stamp.Epoch, m.Stamp.Lane}, Sequence: m.Stamp.Sequence})
			}
		}
		if len(found) < page {
			return all, total, nil
		}
	}
}
