package orders

import "cmp"

// Reason says why an order is REJECTED.
type Reason string

// The values of Reason.
const (
	ConsumerNotFound      Reason = "CONSUMER_NOT_FOUND"
	RestaurantNotFound    Reason = "RESTAURANT_NOT_FOUND"
	MenuItemNotFound      Reason = "MENU_ITEM_NOT_FOUND"
	OrderTotalTooLarge    Reason = "ORDER_TOTAL_TOO_LARGE"
	SpendingLimitExceeded Reason = "SPENDING_LIMIT_EXCEEDED"
	// ValidationFailed: a service could not answer, or an operator ended the
	// saga; the saga's journal says more.
	ValidationFailed Reason = "VALIDATION_FAILED"
)

// reason is why the order is rejected. Where several things are wrong it is always the same
// one, whoever has replied first: both replies are there before the saga compensates.
func (d *CreateOrder) reason() Reason {
	var limit Reason
	if d.exceedsLimit() {
		limit = SpendingLimitExceeded
	}
	return cmp.Or(d.Consumer, d.Restaurant, limit, ValidationFailed)
}

func (d *CreateOrder) withinLimit() bool { return !d.exceedsLimit() }

// exceedsLimit compares the total, as of Restaurant Service's reply, with the
// limit, as of Consumer Service's. It needs both, so neither service can.
func (d *CreateOrder) exceedsLimit() bool {
	return d.SpendingLimit != nil && d.OrderTotal != nil && *d.OrderTotal > *d.SpendingLimit
}
