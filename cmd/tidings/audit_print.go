package main

import (
	"fmt"
	"strconv"
	"strings"

	"tidings.example/internal/audit"
)

// maxPrinted is how many differences are printed for people.
const maxPrinted = 50

func (a *app) printAudit(r *audit.Report, lanes bool) error {
	fmt.Fprintf(a.stdout, "source %s\n", printable(r.Source))
	rows := [][]string{{"CHANNEL", "GIVEN", "PUBLISHED", "REPEATED", "OLDER", "OF OTHERS", "WITHOUT NUMBER", "NO MESSAGE"}}
	for i := range r.Channels {
		c := &r.Channels[i]
		rows = append(rows, []string{c.Channel, number(c.Given), number(c.Published), number(c.Repeated), number(c.Aged),
			number(c.Others), number(c.Unnumbered), number(c.Invalid)})
	}
	if err := writeTable(a.stdout, rows...); err != nil {
		return err
	}
	if err := a.printAuditSubscribers(r); err != nil {
		return err
	}
	a.printAuditNotes(r)
	if lanes {
		if err := a.printAuditLanes(r); err != nil {
			return err
		}
	}
	if r.Agreed() {
		fmt.Fprintf(a.stdout, "\neverything agrees (%s)\n", span(r.Took))
		return nil
	}
	fmt.Fprintf(a.stdout, "\n%s (%s)\n", disagreement(r), span(r.Took))
	return a.printDifferences(r)
}

func (a *app) printAuditSubscribers(r *audit.Report) error {
	if len(r.Subscribers) == 0 {
		return nil
	}
	rows := [][]string{{"SUBSCRIBER", "CHANNELS", "HANDLED", "PARKED", "DISCARDED", "MISSING", "CAME LATE", "BEFORE ITS START"}}
	for i := range r.Subscribers {
		s := &r.Subscribers[i]
		channels := strings.Join(s.Channels, ", ")
		if channels == "" {
			channels = "none of these"
		}
		rows = append(rows, []string{s.Subscriber, channels, number(s.Handled), number(s.ParkedTotal), number(len(s.Discarded)),
			number(s.Missing), number(s.Late), number(s.Before)})
	}
	fmt.Fprintln(a.stdout)
	return writeTable(a.stdout, rows...)
}

// printAuditNotes prints what is no difference but should be known.
func (a *app) printAuditNotes(r *audit.Report) {
	note := func(format string, args ...any) {
		fmt.Fprintln(a.stdout, printable(fmt.Sprintf("note: "+format, args...)))
	}
	fmt.Fprintln(a.stdout)
	if r.SetAside > 0 {
		note("%s set aside: not published, see tidings outbox list", count(r.SetAside, "row is", "rows are"))
	}
	if r.Discarded > 0 {
		note("%s discarded by operators and never published", count(r.Discarded, "set-aside row was", "set-aside rows were"))
	}
	for i := range r.Channels {
		c := &r.Channels[i]
		if c.EpochRepeats > 0 {
			note("channel %s: a new epoch has repeated at least %s", c.Channel, count(c.EpochRepeats, "message", "messages"))
		}
		if c.Unordered {
			note("channel %s has %d partitions, which do not divide the lanes: order was not checked", c.Channel, c.Partitions)
		}
	}
	for _, e := range r.Epochs[min(1, len(r.Epochs)):] {
		note("epoch %s was opened at %s: %s", e.Name, timestamp(e.OpenedAt), e.Reason)
	}
	for i := range r.Subscribers {
		s := &r.Subscribers[i]
		for _, p := range s.Parked[:min(maxPrinted, len(s.Parked))] {
			note("%s has parked %s: channel %s, lane %d, number %d, key %s: %s", s.Subscriber, p.Message, p.Channel, p.Lane.N, p.Sequence, p.Key, shorten(p.Reason, 80))
		}
		for _, d := range s.Discarded[:min(maxPrinted, len(s.Discarded))] {
			note("%s was made to discard %s: channel %s, lane %d, number %d", s.Subscriber, d.ID, d.Lane.Channel, d.Lane.N, d.Sequence)
		}
	}
}

func (a *app) printAuditLanes(r *audit.Report) error {
	rows := [][]string{{"CHANNEL", "EPOCH", "LANE", "GIVEN", "PUBLISHED", "REPEATED"}}
	for i := range r.Channels {
		for _, l := range r.Channels[i].Lanes {
			rows = append(rows, []string{r.Channels[i].Channel, l.Lane.Epoch, number(l.Lane.N), number(l.Given), numbers(l.Published), number(l.Repeated)})
		}
	}
	fmt.Fprintln(a.stdout)
	if err := writeTable(a.stdout, rows...); err != nil || len(r.Subscribers) == 0 {
		return err
	}
	rows = [][]string{{"SUBSCRIBER", "CHANNEL", "EPOCH", "LANE", "HANDLED UP TO", "HOLES"}}
	for i := range r.Subscribers {
		for _, l := range r.Subscribers[i].Lanes {
			rows = append(rows, []string{r.Subscribers[i].Subscriber, l.Channel, l.Lane.Epoch, number(l.Lane.N), number(l.Last), numbers(l.Holes)})
		}
	}
	fmt.Fprintln(a.stdout)
	return writeTable(a.stdout, rows...)
}

func (a *app) printDifferences(r *audit.Report) error {
	rows := [][]string{{"DIFFERENCE", "CHANNEL", "LANE", "NUMBERS", "SUBSCRIBER", "IDS", "EPOCH", "WHAT"}}
	for i := range r.Differences[:min(maxPrinted, len(r.Differences))] {
		d := &r.Differences[i]
		if d.Kind == audit.Waiting {
			rows = append(rows, []string{string(d.Kind), "", "", number(d.Count()), "", "", "", d.Detail})
			continue
		}
		rows = append(rows, []string{string(d.Kind), d.Channel, number(d.Lane.N), numberSpan(d.First, d.Last), d.Subscriber,
			strings.Join(d.IDs, " "), d.Lane.Epoch, d.Detail})
	}
	if err := writeTable(a.stdout, rows...); err != nil {
		return err
	}
	if more := r.Omitted + len(r.Differences) - (len(rows) - 1); more > 0 {
		fmt.Fprintf(a.stdout, "and %d more; --output json has up to %d\n", more, audit.MaxDifferences)
	}
	return nil
}

func number[T int | int64 | uint64](n T) string { return strconv.FormatInt(int64(n), 10) }

func numberSpan(first, last uint64) string {
	if first == last {
		return number(first)
	}
	return number(first) + "-" + number(last)
}

func numbers(s audit.Spans) string {
	const most = 5
	var parts []string
	for _, span := range s[:min(most, len(s))] {
		parts = append(parts, numberSpan(span.First, span.Last))
	}
	if len(s) > most {
		parts = append(parts, fmt.Sprintf("and %d more", len(s)-most))
	}
	return strings.Join(parts, " ")
}
