// Package customersorders is a sample system: three services that keep orders
// and credit limits consistent through messages, and a gateway in front of them.
//
//	orders     takes orders; PENDING until customers has decided, then APPROVED or CANCELLED
//	customers  reserves credit for orders, never more than a customer's limit
//	history    a view that joins what the two publish
//	gateway    one address for all of them, and a page for people
//
// A [System] runs all of them in one process, or some. Each service has a
// database of its own; they share nothing but the channels of a broker. What
// holds: a customer's reserved credit never exceeds the limit, and once all is
// quiet it is the sum of that customer's approved orders, whatever process was
// killed when.
//
// To test with it, give it SQLite files and package broker/natsjs's server in
// the process, as this package's tests do.
package customersorders

import (
	"slices"

	"tidings.example/examples/customers-orders/commands"
	"tidings.example/examples/customers-orders/customers"
	"tidings.example/examples/customers-orders/events"
	"tidings.example/examples/customers-orders/gateway"
	"tidings.example/examples/customers-orders/history"
	"tidings.example/examples/customers-orders/orders"
	"tidings.example/examples/shared/proxy"
	"tidings.example/examples/shared/system"
	"tidings.example/saga"
)

// The processes of the sample. All but the gateway are services with a
// database of their own.
const (
	Orders    = orders.Name
	Customers = customers.Name
	History   = history.Name
	Gateway   = system.Gateway
)

// Config says what of the sample to run, and on what; a System is what runs.
type (
	Config = system.Config
	System = system.System
)

// Design is the sample as data.
var Design = &system.Design{
	Title: "customers and orders",
	Services: []system.Service{
		{Name: Orders, Addr: "127.0.0.1:8081", New: orders.New},
		{Name: Customers, Addr: "127.0.0.1:8082", New: customers.New},
		{Name: History, Addr: "127.0.0.1:8083", New: history.New},
	},
	Channels:    []string{events.Names{}.Orders().Channel, events.Names{}.Customers().Channel},
	GatewayAddr: "127.0.0.1:8080",
	NewGateway: func(c system.GatewayConfig) (*proxy.Gateway, error) {
		return gateway.New(gateway.Config{Orders: c.Backends[Orders], Customers: c.Backends[Customers], History: c.Backends[History],
			Broker: c.Broker, Names: c.Names, Logger: c.Logger, Metrics: c.Metrics})
	},
}

// Orchestrated is the same sample in its second style: the orders service asks the
// customers service by commands, in a saga per order. HTTP, domain code, databases
// and events are the same.
var Orchestrated = &system.Design{
	Title: Design.Title + ", orchestrated",
	Services: []system.Service{
		{Name: Orders, Addr: "127.0.0.1:8081", New: orders.NewOrchestrated},
		{Name: Customers, Addr: "127.0.0.1:8082", New: customers.NewParticipant},
		{Name: History, Addr: "127.0.0.1:8083", New: history.New},
	},
	Channels:    append(slices.Clone(Design.Channels), commands.Customers("").Channel, Orders+saga.ReplySuffix),
	GatewayAddr: Design.GatewayAddr,
	NewGateway:  Design.NewGateway,
}

// Services are the names of the services, Processes those of all processes.
var (
	Services  = Design.ServiceNames()
	Processes = Design.Processes()
)

// DefaultAddrs are the addresses where the processes serve HTTP.
func DefaultAddrs() map[string]string { return Design.DefaultAddrs() }

// New returns a system, or an error that says which setting is wrong. Nothing
// is read, written or opened before Run.
func New(cfg Config) (*System, error) { return Design.New(cfg) }
