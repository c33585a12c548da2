// Package ftgo is a sample system after the book Microservices Patterns, its first
// slice: an order is taken at once, and validated afterwards by two other services.
//
//	order-service       takes orders; PENDING until both others have replied, then VALIDATED or REJECTED
//	consumer-service    knows consumers, and how much they may spend on an order
//	restaurant-service  knows restaurants, their menus and prices
//	gateway             one address for all of them
//
// Order Service directs the others with an orchestrated saga, by commands and
// replies. Each service has a database of its own; they share nothing but the
// channels of a broker. What holds: an order that was taken ends VALIDATED or
// REJECTED, with a reason, whatever process was killed or away when.
//
// To test with it, see package sampletest.
package ftgo

import (
	"tidings.example/examples/ftgo/consumers"
	"tidings.example/examples/ftgo/gateway"
	"tidings.example/examples/ftgo/messages"
	"tidings.example/examples/ftgo/orders"
	"tidings.example/examples/ftgo/restaurants"
	"tidings.example/examples/shared/system"
	"tidings.example/examples/shared/wiring"
)

// The processes of the sample. All but the gateway are services with a
// database of their own.
const (
	OrderService      = messages.OrderService
	ConsumerService   = messages.ConsumerService
	RestaurantService = messages.RestaurantService
	Gateway           = system.Gateway
)

// Config says what of the sample to run, and on what; a System is what runs.
type (
	Config = system.Config
	System = system.System
)

// Design is the sample as data.
var Design = &system.Design{
	Title: "ftgo",
	Services: []system.Service{
		{Name: OrderService, Addr: "127.0.0.1:8081", New: orders.New},
		{Name: ConsumerService, Addr: "127.0.0.1:8082", New: consumers.New},
		{Name: RestaurantService, Addr: "127.0.0.1:8083", New: restaurants.New},
	},
	Channels:    []string{messages.Names{}.Consumers().Channel, messages.Names{}.Restaurants().Channel, wiring.RepliesTo(OrderService)},
	GatewayAddr: "127.0.0.1:8080",
	NewGateway:  gateway.New,
}

// New returns a system, or an error that says which setting is wrong. Nothing
// is read, written or opened before Run.
func New(cfg Config) (*System, error) { return Design.New(cfg) }
