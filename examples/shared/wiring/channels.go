package wiring

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"tidings.example/broker"
	"tidings.example/service"
)

// Channels are the channels of a sample, which must exist before anybody
// publishes or subscribes.
type Channels struct {
	broker broker.Provisioner
	names  []string
	logger *slog.Logger
}

// NewChannels returns the channels under these names.
func NewChannels(b broker.Provisioner, n Names, logger *slog.Logger) *Channels {
	return &Channels{broker: b, names: n.channels(), logger: logger}
}

// Before makes the component wait until the channels exist. Until then it tries
// to create them, so that a service starts while the broker is away, and takes
// requests.
func (c *Channels) Before(part service.Component) service.Component {
	return &afterChannels{Component: part, channels: c, waits: errors.New("the channels have not been looked at")}
}

type afterChannels struct {
	service.Component
	channels *Channels

	mu    sync.Mutex
	waits error // why the component does not run yet
}

func (a *afterChannels) Run(ctx context.Context) error {
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 3*time.Second) {
		err := a.channels.broker.EnsureChannels(ctx, a.channels.names...)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			err = fmt.Errorf("create the channels: %w", err)
		}
		a.mu.Lock()
		a.waits = err
		a.mu.Unlock()
		if err == nil {
			return a.Component.Run(ctx)
		}
		a.channels.logger.Warn("broker does not have the channels, trying again", "part", a.Name(), "error", err, "after", pause)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

func (a *afterChannels) Ready() error {
	a.mu.Lock()
	waits := a.waits
	a.mu.Unlock()
	if waits != nil {
		return waits
	}
	return a.Component.Ready()
}
