package system

import (
	"log/slog"
	"slices"

	"tidings.example/broker"
	"tidings.example/examples/shared/proxy"
	"tidings.example/examples/shared/wiring"
)

// Gateway is the name of the process in front of the services.
const Gateway = "gateway"

// A Design says what a sample consists of. It is data; a [System] runs it.
type Design struct {
	// Title begins the texts of errors.
	Title string
	// Services have a database each.
	Services []Service
	// Channels are all channels of the sample, without a prefix.
	Channels []string
	// GatewayAddr is where the gateway serves HTTP by default.
	GatewayAddr string
	// NewGateway makes the gateway.
	NewGateway func(GatewayConfig) (*proxy.Gateway, error)
}

// A Service is one of a sample's services.
type Service struct {
	// Name is its name as a process, a subscriber and a source.
	Name string
	// Addr is where it serves HTTP by default, if it runs without the gateway.
	Addr string
	// New makes it.
	New func(wiring.Config) (*wiring.Part, error)
}

// GatewayConfig is what a gateway gets.
type GatewayConfig struct {
	// Backends are all services, by name.
	Backends map[string]proxy.Backend
	Broker   interface {
		broker.Subscriber
		broker.Provisioner
	}
	Names   wiring.Names
	Logger  *slog.Logger
	Metrics *wiring.Metrics
}

// ServiceNames are the names of the services.
func (d *Design) ServiceNames() []string {
	names := make([]string, len(d.Services))
	for i, s := range d.Services {
		names[i] = s.Name
	}
	return names
}

// Processes are the names of all processes: the services, then the gateway.
func (d *Design) Processes() []string { return append(d.ServiceNames(), Gateway) }

// DefaultAddrs are the addresses where the processes serve HTTP.
func (d *Design) DefaultAddrs() map[string]string {
	addrs := map[string]string{Gateway: d.GatewayAddr}
	for _, s := range d.Services {
		addrs[s.Name] = s.Addr
	}
	return addrs
}

func (d *Design) has(process string) bool { return slices.Contains(d.Processes(), process) }
