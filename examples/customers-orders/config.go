package customersorders

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
	"tidings.example/examples/customers-orders/customers"
	"tidings.example/examples/customers-orders/gateway"
	"tidings.example/examples/customers-orders/history"
	"tidings.example/examples/customers-orders/orders"
	"tidings.example/internal/connect"
	"tidings.example/metrics"
)

// The processes of the sample. All but the gateway are services with a
// database of their own.
const (
	Orders    = orders.Name
	Customers = customers.Name
	History   = history.Name
	Gateway   = gateway.Name
)

// Services are the names of the services, Processes those of all processes.
var (
	Services  = []string{Orders, Customers, History}
	Processes = []string{Orders, Customers, History, Gateway}
)

// DefaultAddrs are the addresses where the processes serve HTTP.
func DefaultAddrs() map[string]string {
	return map[string]string{
		Gateway: "127.0.0.1:8080", Orders: "127.0.0.1:8081", Customers: "127.0.0.1:8082", History: "127.0.0.1:8083",
	}
}

// Config says what of the sample to run, and on what. Broker is required, and a
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
	// Defaults as DefaultAddrs. A service that runs with the gateway serves
	// none of its own; the gateway reaches the others at theirs.
	Addrs map[string]string
	// WithoutRelays leaves the outboxes to relays that run elsewhere.
	WithoutRelays bool
	// BatchSize is how many events may share one transaction. Default 32.
	BatchSize int
	// DrainTimeout bounds how long each process may take to stop. Default 15 s.
	DrainTimeout time.Duration
	// Logger gets what people should know. Default: nothing is logged.
	Logger *slog.Logger
	// Metrics are the figures of this process. Default: new ones.
	Metrics *metrics.Metrics
}

func (c *Config) withDefaults() {
	if c.Processes == nil {
		c.Processes = Processes
	}
	addrs := DefaultAddrs()
	maps.Copy(addrs, c.Addrs)
	c.Addrs = addrs
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Metrics == nil {
		c.Metrics = metrics.New()
	}
}

func (c *Config) validate() error {
	if len(c.Processes) == 0 {
		return errors.New("no process is named")
	}
	if c.Broker == nil {
		return errors.New("the broker is missing")
	}
	for i, name := range c.Processes {
		switch {
		case !slices.Contains(Processes, name):
			return fmt.Errorf("there is no process %q: use %s", name, strings.Join(Processes, ", "))
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
		if !slices.Contains(Processes, name) {
			return fmt.Errorf("there is an address for %q, which is no process: use %s", name, strings.Join(Processes, ", "))
		}
		if _, _, err := net.SplitHostPort(addr); err != nil {
			return fmt.Errorf("the address of %s is %q: write host:port, as in 127.0.0.1:8080", name, addr)
		}
	}
	return nil
}

func (c *Config) runs(process string) bool { return slices.Contains(c.Processes, process) }
