package main

import (
	"strings"

	customersorders "tidings.example/examples/customers-orders"
	"tidings.example/examples/ftgo"
	"tidings.example/examples/shared/system"
)

// A demoSample is a system that `tidings demo` can run.
type demoSample struct {
	design *system.Design
	// shows says in a line what people see; page whether the gateway has one for them.
	shows string
	page  bool
	// style is the only one that it has; empty for one that has both.
	style string
	// tryOut is commands that work when they are pasted, for the gateway at base.
	tryOut func(base string) string
}

// defaultSample is what runs without --system.
const defaultSample = "customers-orders"

// demoSamples are what --system takes, by name; demoSystems are the names.
var (
	demoSamples = map[string]*demoSample{
		defaultSample: {design: customersorders.Design, page: true, tryOut: tryCustomersOrders,
			shows: "services that keep orders and credit limits consistent through messages"},
		"ftgo": {design: ftgo.Design, tryOut: tryFTGO, style: orchestration,
			shows: "an order is taken at once, and validated by other services through commands and replies"},
	}
	demoSystems = []string{defaultSample, "ftgo"}
)

// brokerProcess is a process that the samples do not know: the NATS server.
const brokerProcess = "broker"

// processes are what --process takes for the sample.
func (s *demoSample) processes() []string { return append(s.design.Processes(), brokerProcess) }

// demoProcesses are those of the default sample.
var demoProcesses = demoSamples[defaultSample].processes()

// allProcesses are what --process takes, for each system.
func allProcesses() string {
	var all []string
	for _, name := range demoSystems {
		all = append(all, strings.Join(demoSamples[name].design.Processes(), ", ")+" ("+name+")")
	}
	return strings.Join(append(all, brokerProcess), "; ")
}

// postJSON is what curl needs to send JSON.
const postJSON = " -H 'Content-Type: application/json' -d "

func tryCustomersOrders(base string) string {
	return "  customer=$(curl -sS " + base + "/customers" + postJSON + `'{"name":"Ada","creditLimit":{"amount":100}}' | cut -d'"' -f4)` + "\n" +
		"  curl -sS " + base + "/orders" + postJSON + `'{"customerId":"'$customer'","orderTotal":{"amount":12.34}}'` + "\n" +
		"  sleep 1; curl -sS " + base + "/customers/$customer/orderhistory"
}

func tryFTGO(base string) string {
	return "  consumer=$(curl -sS " + base + "/consumers" + postJSON +
		`'{"name":{"firstName":"Ada","lastName":"Lovelace"},"spendingLimit":{"amount":100}}' | cut -d'"' -f4)` + "\n" +
		"  restaurant=$(curl -sS " + base + "/restaurants" + postJSON +
		`'{"name":"Ajanta","address":"1 Main Street","menu":{"menuItems":[{"id":"1","name":"Vindaloo","price":{"amount":12.34}}]}}' | cut -d'"' -f4)` + "\n" +
		"  order=$(curl -sS " + base + "/orders" + postJSON +
		`'{"consumerId":"'$consumer'","restaurantId":"'$restaurant'","lineItems":[{"menuItemId":"1","quantity":2}]}' | cut -d'"' -f4)` + "\n" +
		"  sleep 1; curl -sS " + base + "/orders/$order"
}
