package system

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strings"
	"time"

	"tidings.example"
	"tidings.example/internal/connect"
	"tidings.example/metrics"
)

// Config says what of a sample to run, and on what. Broker is required, and a
// database for each service that is run.
type Config struct {
	// Processes are those to run. Default: all.
	Processes []string
	// Databases are the services' own, by the service's name. Whoever opened
	// them closes them, after Run.
	Databases map[string]*connect.Database
	Broker    *connect.Broker
	// Prefix comes before the names of channels, subscribers and sources, so
	// that several systems can share one broker. Default: none.
	Prefix string
	// Addrs are the addresses where the processes serve HTTP, by name.
	// Defaults as [Design.DefaultAddrs]. A service that runs with the gateway serves
	// none of its own; the gateway reaches the others at theirs.
	Addrs map[string]string
	// WithoutRelays leaves the outboxes to relays that run elsewhere.
	WithoutRelays bool
	// BatchSize is how many messages may share one transaction. Default 32.
	BatchSize int
	// DrainTimeout bounds how long each process may take to stop. Default 15 s.
	DrainTimeout time.Duration
	// Logger gets what people should know. Default: nothing is logged.
	Logger *slog.Logger
	// Metrics are the figures of this process. Default: new ones.
	Metrics *metrics.Metrics
}

func (c *Config) withDefaults(d *Design) {
	if c.Processes == nil {
		c.Processes = d.Processes()
	}
	addrs := d.DefaultAddrs()
	maps.Copy(addrs, c.Addrs)
	c.Addrs = addrs
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Metrics == nil {
		c.Metrics = metrics.New()
	}
}

func (c *Config) validate(d *Design) error {
	if len(c.Processes) == 0 {
		return errors.New("no process is named")
	}
	if c.Broker == nil {
		return errors.New("the broker is missing")
	}
	for i, name := range c.Processes {
		switch {
		case !d.has(name):
			return fmt.Errorf("there is no process %q: use %s", name, strings.Join(d.Processes(), ", "))
		case slices.Contains(c.Processes[:i], name):
			return fmt.Errorf("the process %s is named twice", name)
		case name != Gateway && c.Databases[name] == nil:
			return fmt.Errorf("the database of %s is missing", name)
		}
	}
	if err := tidings.ValidateName("prefix", c.Prefix+"x"); err != nil {
		return err
	}
	for name, addr := range c.Addrs {
		if !d.has(name) {
			return fmt.Errorf("there is an address for %q, which is no process: use %s", name, strings.Join(d.Processes(), ", "))
		}
		if _, _, err := net.SplitHostPort(addr); err != nil {
			return fmt.Errorf("the address of %s is %q: write host:port, as in 127.0.0.1:8080", name, addr)
		}
	}
	return nil
}

func (c *Config) runs(process string) bool { return slices.Contains(c.Processes, process) }
