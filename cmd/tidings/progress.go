package main

import (
	"context"
	"log/slog"
	"time"

	"tidings.example/relay"
)

// progress logs now and then what a relay has done.
type progress struct {
	interval time.Duration
	source   string
	stats    func() relay.Stats
	log      *slog.Logger
}

// Name is what the service calls it.
func (p *progress) Name() string { return "progress" }

// Ready is always nil: nothing depends on it.
func (p *progress) Ready() error { return nil }

// Run logs until ctx is done.
func (p *progress) Run(ctx context.Context) error {
	ticker := time.NewTicker(p.interval)
	defer ticker.Stop()
	var last uint64
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		s := p.stats()
		if s.Published == last {
			continue
		}
		rate := float64(s.Published-last) / p.interval.Seconds()
		p.log.Info("relay publishes", "source", p.source, "published", s.Published, "per_second", int(rate),
			"in_flight", s.InFlight, "set_aside", s.SetAside)
		last = s.Published
	}
}
