package events

import "tidings.example/examples/shared/money"

// CustomerCreated: there is a customer, all of whose credit is available.
type CustomerCreated struct {
	CustomerID  string      `json:"customerId"`
	Name        string      `json:"name"`
	CreditLimit money.Money `json:"creditLimit"`
}

// Credit is in every event about the credit for an order.
type Credit struct {
	CustomerID string      `json:"customerId"`
	OrderID    string      `json:"orderId"`
	Amount     money.Money `json:"orderTotal"`
	// Available is the customer's credit after the event.
	Available money.Money `json:"availableCredit"`
}

// CreditReserved: the order's total now counts against the customer's limit.
type CreditReserved struct{ Credit }

// CreditLimitExceeded: the order's total is more than what was available.
type CreditLimitExceeded struct{ Credit }

// CreditReleased: the order was cancelled, and its total counts no more.
type CreditReleased struct{ Credit }

// CustomerNotFound: an order names a customer that does not exist.
type CustomerNotFound struct {
	CustomerID string `json:"customerId"`
	OrderID    string `json:"orderId"`
}

// EventType is the name on the wire.
func (CustomerCreated) EventType() string { return "CustomerCreated" }

// EventType is the name on the wire.
func (CreditReserved) EventType() string { return "CreditReserved" }

// EventType is the name on the wire.
func (CreditLimitExceeded) EventType() string { return "CreditLimitExceeded" }

// EventType is the name on the wire.
func (CreditReleased) EventType() string { return "CreditReleased" }

// EventType is the name on the wire.
func (CustomerNotFound) EventType() string { return "CustomerNotFound" }
