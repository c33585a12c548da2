// Package events is what the services of the sample tell each other, and all
// that they share about each other. Nothing here does anything; there is nothing to
// test but the names on the wire.
//
// Of one order, and of one customer, events stay in order. Between the two
// channels there is no order: every reader must do with any.
package events

import "tidings.example/event"

// Names are the names that the services use on the broker. Prefix comes before
// each, so that several systems can share one broker; it may be empty.
type Names struct{ Prefix string }

// Orders is what the orders service tells about, under the order's id.
func (n Names) Orders() event.Aggregate {
	return event.Aggregate{Name: "Order", Channel: n.Prefix + "orders"}
}

// Customers is what the customers service tells about, under the customer's id.
// Credit is decided per customer, one order after the other, and is told in
// that order.
func (n Names) Customers() event.Aggregate {
	return event.Aggregate{Name: "Customer", Channel: n.Prefix + "customers"}
}

// Subscriber is the name under which a service receives messages.
func (n Names) Subscriber(service string) string { return n.Prefix + service }

// Source is the name of a service's outbox.
func (n Names) Source(service string) string { return n.Prefix + service }

// State is where an order is in its life.
type State string

// An order goes from PENDING to APPROVED or CANCELLED, and from APPROVED to
// CANCELLED; never back.
const (
	Pending   State = "PENDING"
	Approved  State = "APPROVED"
	Cancelled State = "CANCELLED"
)

// Reason says why an order is CANCELLED.
type Reason string

// The values of Reason.
const (
	CreditLimitReached Reason = "CREDIT_LIMIT_EXCEEDED"
	UnknownCustomer    Reason = "CUSTOMER_NOT_FOUND"
	ByCustomer         Reason = "BY_CUSTOMER"
	// NotDecided: the customers service gave no reason, or no answer.
	NotDecided Reason = "CREDIT_NOT_DECIDED"
)
