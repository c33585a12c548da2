package timer

import (
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// Config says what a runner does. Name and Sources are required.
type Config struct {
	// Name is of the service, for logs.
	Name string
	// Sources are what is done when it is due. Each is looked after on its own,
	// so that a slow one does not make the others late.
	Sources []Source
	// Now is the clock that decides what is due. Default time.Now.
	Now func() time.Time
	// Poll is the longest that a runner waits before it asks a source again. What
	// another process has set, and a clock that was changed, are noticed after this time at the
	// latest. Default 1 s.
	Poll time.Duration
	// Batch is how many things may be done in one call of Fire. Default 100.
	Batch int
	// Concurrency is how many calls of Fire may run at the same time for each
	// source, while more than Batch things are due. Default 4.
	Concurrency int
	// Timeout bounds one call of a source. One that takes longer is rolled back
	// and tried again. Default 1 min.
	Timeout time.Duration
	// Logger gets what people should know. Default: nothing is logged.
	Logger *slog.Logger
}

func (c *Config) withDefaults() {
	setDefault(&c.Poll, time.Second)
	setDefault(&c.Batch, 100)
	setDefault(&c.Concurrency, 4)
	setDefault(&c.Timeout, time.Minute)
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func (c *Config) validate() error {
	switch {
	case c.Name == "":
		return errors.New("timer: Name is empty")
	case len(c.Sources) == 0:
		return errors.New("timer: Sources is empty: give at least one")
	case c.Poll < 0:
		return fmt.Errorf("timer: Poll is %s, less than 0", c.Poll)
	case c.Timeout < 0:
		return fmt.Errorf("timer: Timeout is %s, less than 0", c.Timeout)
	case c.Batch < 1:
		return fmt.Errorf("timer: Batch is %d, less than 1", c.Batch)
	case c.Concurrency < 1:
		return fmt.Errorf("timer: Concurrency is %d, less than 1", c.Concurrency)
	}
	for i, s := range c.Sources {
		if s == nil {
			return fmt.Errorf("timer: source %d of Sources is nil", i+1)
		}
	}
	return nil
}
