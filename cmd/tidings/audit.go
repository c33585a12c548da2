package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tidings.example"
	"tidings.example/broker"
	"tidings.example/internal/audit"
	"tidings.example/internal/connect"
)

// auditSettings are the flags of `tidings audit`.
type auditSettings struct {
	storeURL, brokerURL   string
	subscribers, channels []string
	since, until          string
	wait                  time.Duration
	lanes                 bool
}

func newAuditCommand(a *app) *cobra.Command {
	var s auditSettings
	cmd := &cobra.Command{
		Use:     "audit",
		Short:   "Prove that what was committed is what was published and handled",
		GroupID: groupOperate,
		Long: `Audit compares, number by number, what a source's relay has numbered, what the
broker's channels hold, and what each subscriber has handled, and names each
difference with its lane, its numbers and, where they are known, the messages' ids:
lost, in conflict, foreign, out of order, not handled, handled and never there.

It may be run at any time on a running system. It changes nothing, joins no consumer
group and stores nothing at the broker. What is on its way gets the time of --wait to
arrive. Rows set aside and messages parked are counted and shown; they are no
differences. Without --since all that the broker retains is read: that
takes about as long as a consumer that does nothing else.

Exit code 0: everything agrees; 3: something does not, or has not arrived in time.
Nothing else says that all is well.`,
		Example: `  tidings audit --store-url postgres://host/orders --broker-url kafka://broker:9092
  tidings audit --subscriber customers=postgres://host/customers --subscriber history=mysql://host/history
  tidings audit --channel orders --since 1h
  tidings audit --since 2026-03-01T00:00:00Z --until 2026-03-02T00:00:00Z
  tidings audit -o json | jq '.differences[] | select(.kind=="lost")'`,
		Args: exactArgs(),
	}
	output := addOutputFlag(cmd)
	flags := cmd.Flags()
	addStoreFlag(flags, &s.storeURL)
	addBrokerFlag(flags, &s.brokerURL)
	flags.StringArrayVar(&s.subscribers, "subscriber", nil, "compare with the inbox of NAME in a database, as NAME=URL; may be repeated")
	flags.StringSliceVar(&s.channels, "channel", nil, "audit this channel; may be repeated; all of the source if not given")
	flags.StringVar(&s.since, "since", "", "leave out what the broker got before: a time ago, such as 1h, or an RFC 3339 time")
	flags.StringVar(&s.until, "until", "", "leave out what the broker got after this, written as --since")
	flags.DurationVar(&s.wait, "wait", 30*time.Second, "how long what is on its way may take to arrive")
	flags.BoolVar(&s.lanes, "lanes", false, "print every lane")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		report, err := a.audit(cmd.Context(), s)
		if err != nil {
			return err
		}
		if output.value == "json" {
			err = writeJSON(a.stdout, newAuditJSON(report))
		} else {
			err = a.printAudit(report, s.lanes)
		}
		if err == nil && !report.Agreed() {
			err = negativef("%s", disagreement(report))
		}
		return err
	}
	return cmd
}

// disagreement is the error of an audit that found something.
func disagreement(r *audit.Report) string {
	var parts []string
	for kind, n := range r.Counts {
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, kind))
		}
	}
	slices.Sort(parts)
	return "it does not agree: " + strings.Join(parts, ", ")
}

// audit opens everything and runs the audit.
func (a *app) audit(ctx context.Context, s auditSettings) (*audit.Report, error) {
	c, urls, err := s.config(time.Now())
	if err != nil {
		return nil, err
	}
	b, err := a.openBroker(ctx, s.brokerURL)
	if err != nil {
		return nil, err
	}
	defer a.closing("broker", b.Close)
	c.Broker = b
	opened := map[string]*connect.Database{}
	open := func(url string) (*connect.Database, error) {
		if db := opened[url]; db != nil {
			return db, nil
		}
		db, err := a.openMigrated(ctx, url)
		if err == nil {
			opened[url] = db
		}
		return db, err
	}
	defer func() {
		for _, db := range opened {
			a.closing("database", db.Close)
		}
	}()
	source, err := open(s.storeURL)
	if err != nil {
		return nil, err
	}
	c.Source, c.Log = source.Admin, source.Log
	for i := range c.Subscribers {
		db, err := open(urls[i])
		if err != nil {
			return nil, fmt.Errorf("subscriber %s: %w", c.Subscribers[i].Name, err)
		}
		c.Subscribers[i].Store = db.Admin
	}
	c.Progress = func(p audit.Progress) {
		a.log.Info("audit reads", "channel", p.Channel, "read", p.Read, "of", p.Total, "again", p.Again)
	}
	r, err := audit.Run(ctx, c)
	if errors.Is(err, broker.ErrNoChannel) {
		return nil, fmt.Errorf("%w; is %s the broker that the relay publishes to?", err, connect.Redact(s.brokerURL))
	}
	return r, err
}

// config checks the flags. urls are those of the subscribers' databases.
func (s *auditSettings) config(now time.Time) (c audit.Config, urls []string, err error) {
	c.Channels, c.Wait = s.channels, s.wait
	for _, check := range []func() error{
		func() error { return requireStore(s.storeURL) },
		func() error { return requireBroker(s.brokerURL) },
		func() error { return connect.CheckDatabaseURL(s.storeURL) },
		func() error { return connect.CheckBrokerURL(s.brokerURL) },
	} {
		if err := check(); err != nil {
			return c, nil, err
		}
	}
	for _, channel := range s.channels {
		if err := tidings.ValidateName("channel", channel); err != nil {
			return c, nil, usagef("--channel: %w", err)
		}
	}
	for _, named := range s.subscribers {
		name, url, ok := strings.Cut(named, "=")
		if !ok || name == "" {
			return c, nil, usagef("--subscriber: write it as NAME=URL, such as customers=postgres://host/customers")
		}
		if err := connect.CheckDatabaseURL(url); err != nil {
			return c, nil, fmt.Errorf("--subscriber %s: %w", name, err)
		}
		if slices.ContainsFunc(c.Subscribers, func(s audit.Subscriber) bool { return s.Name == name }) {
			return c, nil, usagef("--subscriber %s is given twice", name)
		}
		c.Subscribers = append(c.Subscribers, audit.Subscriber{Name: name})
		urls = append(urls, url)
	}
	if c.Range.Since, err = moment("--since", s.since, now); err != nil {
		return c, nil, err
	}
	if c.Range.Until, err = moment("--until", s.until, now); err != nil {
		return c, nil, err
	}
	if s.wait < 0 {
		return c, nil, usagef("--wait must not be negative")
	}
	if r := c.Range; !r.Since.IsZero() && !r.Until.IsZero() && !r.Since.Before(r.Until) {
		return c, nil, usagef("--since must be before --until")
	}
	return c, urls, nil
}

// moment reads a time, or how long ago it was; none is the zero time.
func moment(flag, text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if ago, err := time.ParseDuration(text); err == nil {
		if ago < 0 {
			return time.Time{}, usagef("%s must not be negative: 1h is an hour ago", flag)
		}
		return now.Add(-ago), nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, usagef("%s: %q is neither a time ago, such as 90s or 1h, nor an RFC 3339 time, such as 2026-03-01T00:00:00Z", flag, shorten(text, 60))
	}
	return t, nil
}
