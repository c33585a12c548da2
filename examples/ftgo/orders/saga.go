package orders

import (
	"context"
	"database/sql"

	"tidings.example/examples/ftgo/messages"
	"tidings.example/examples/shared/money"
	"tidings.example/saga"
)

// CreateOrder is the data of the saga that creates an order: what is ordered, and
// what the others have replied so far.
type CreateOrder struct {
	OrderID      string              `json:"orderId"`
	ConsumerID   string              `json:"consumerId"`
	RestaurantID string              `json:"restaurantId"`
	LineItems    []messages.LineItem `json:"lineItems"`
	Key          string              `json:"idempotencyKey,omitempty"`

	SpendingLimit *money.Money `json:"spendingLimit,omitempty"`
	OrderTotal    *money.Money `json:"orderTotal,omitempty"`
	// Consumer and Restaurant are why the one or the other refuses the order.
	Consumer   Reason `json:"consumer,omitempty"`
	Restaurant Reason `json:"restaurant,omitempty"`
}

// defineCreateOrder is the saga:
//
//	create     PENDING, in the transaction of the request     undone by: REJECTED with the reason
//	validate   both at the same time
//	  consumer     ValidateConsumerInfo   to Consumer Service
//	  restaurant   ValidateOrderDetails   to Restaurant Service
//	approve    VALIDATED, where the limit allows the total
//	reject     REJECTED, where it does not
//
// A participant that refuses makes the saga compensate, which rejects the order. Nothing
// that participants do needs to be undone: they only look. No step has a
// timeout, so that an order waits as long as a service is away.
func defineCreateOrder(s store, names messages.Names) *saga.Definition[CreateOrder] {
	return saga.Define("create-order",
		saga.Local("create", s.createPending, saga.UndoLocally(s.reject)),
		saga.Parallel("validate",
			saga.Invoke("consumer", names.Consumers(), validateConsumerInfo,
				saga.OnReply(consumerValidated), saga.OnReply(consumerNotFound)),
			saga.Invoke("restaurant", names.Restaurants(), validateOrderDetails,
				saga.OnReply(orderDetailsValidated), saga.OnReply(restaurantNotFound),
				saga.OnReply(menuItemNotFound), saga.OnReply(orderTotalTooLarge))),
		saga.When((*CreateOrder).withinLimit, saga.Local("approve", s.approve)),
		saga.When((*CreateOrder).exceedsLimit, saga.Local("reject", s.reject)))
}

func (s store) createPending(ctx context.Context, tx *sql.Tx, d *CreateOrder) error {
	return s.insert(ctx, tx, &Order{ID: d.OrderID, ConsumerID: d.ConsumerID, RestaurantID: d.RestaurantID, LineItems: d.LineItems, State: Pending}, d.Key)
}

func (s store) approve(ctx context.Context, tx *sql.Tx, d *CreateOrder) error {
	return s.settle(ctx, tx, d.OrderID, Validated, d.OrderTotal, "")
}

func (s store) reject(ctx context.Context, tx *sql.Tx, d *CreateOrder) error {
	return s.settle(ctx, tx, d.OrderID, Rejected, d.OrderTotal, d.reason())
}

func validateConsumerInfo(d *CreateOrder) messages.ValidateConsumerInfo {
	return messages.ValidateConsumerInfo{OrderID: d.OrderID, ConsumerID: d.ConsumerID}
}

func validateOrderDetails(d *CreateOrder) messages.ValidateOrderDetails {
	return messages.ValidateOrderDetails{OrderID: d.OrderID, RestaurantID: d.RestaurantID, LineItems: d.LineItems}
}

func consumerValidated(d *CreateOrder, r messages.ConsumerValidated) {
	d.SpendingLimit = &r.SpendingLimit
}

func consumerNotFound(d *CreateOrder, _ messages.ConsumerNotFound) { d.Consumer = ConsumerNotFound }

func orderDetailsValidated(d *CreateOrder, r messages.OrderDetailsValidated) {
	d.OrderTotal = &r.OrderTotal
}

func restaurantNotFound(d *CreateOrder, _ messages.RestaurantNotFound) {
	d.Restaurant = RestaurantNotFound
}

func menuItemNotFound(d *CreateOrder, _ messages.MenuItemNotFound) { d.Restaurant = MenuItemNotFound }

func orderTotalTooLarge(d *CreateOrder, _ messages.OrderTotalTooLarge) {
	d.Restaurant = OrderTotalTooLarge
}
