package events

import "tidings.example/examples/shared/money"

// An Order is in every event about one, so that none needs another to be understood.
type Order struct {
	OrderID    string      `json:"orderId"`
	CustomerID string      `json:"customerId"`
	OrderTotal money.Money `json:"orderTotal"`
}

// OrderCreated: there is an order, and it is PENDING.
type OrderCreated struct{ Order }

// OrderApproved: the order's credit is reserved.
type OrderApproved struct{ Order }

// OrderCancelled: the order was refused, or its customer does not want it any more.
type OrderCancelled struct {
	Order
	Reason Reason `json:"cancellationReason"`
}

// EventType is the name on the wire.
func (OrderCreated) EventType() string { return "OrderCreated" }

// EventType is the name on the wire.
func (OrderApproved) EventType() string { return "OrderApproved" }

// EventType is the name on the wire.
func (OrderCancelled) EventType() string { return "OrderCancelled" }
