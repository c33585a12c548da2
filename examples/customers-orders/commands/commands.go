// Package commands is what the orders service asks of the customers service
// when it orchestrates, and what that answers. As package events it is only names and
// data; there is nothing to test but the names on the wire.
package commands

import (
	"tidings.example/command"
	"tidings.example/examples/customers-orders/events"
	"tidings.example/examples/shared/money"
)

// Customers is the customers service as a participant of sagas; prefix comes before
// the channel's name, as before those of events.
func Customers(prefix string) command.Participant {
	return command.Participant{Name: "customers", Channel: prefix + "customers.commands"}
}

// ReserveCredit asks to reserve credit for an order, once.
type ReserveCredit struct {
	OrderID    string      `json:"orderId"`
	CustomerID string      `json:"customerId"`
	OrderTotal money.Money `json:"orderTotal"`
}

// CommandType implements command.Command.
func (ReserveCredit) CommandType() string { return "ReserveCredit" }

// CreditRefused says why no credit was reserved.
type CreditRefused struct {
	Reason events.Reason `json:"reason"`
}

// ReplyType implements command.Reply.
func (CreditRefused) ReplyType() string { return "CreditRefused" }

// ReleaseCredit gives back what was reserved for an order, if anything was.
type ReleaseCredit struct {
	OrderID    string      `json:"orderId"`
	CustomerID string      `json:"customerId"`
	OrderTotal money.Money `json:"orderTotal"`
}

// CommandType implements command.Command.
func (ReleaseCredit) CommandType() string { return "ReleaseCredit" }
