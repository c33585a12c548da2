package restaurants

import (
	"context"
	"database/sql"
	"errors"

	"tidings.example/command"
	"tidings.example/examples/ftgo/messages"
	"tidings.example/examples/shared/money"
)

// validateOrderDetails answers whether a restaurant has what is ordered, and what it costs now.
func (s *restaurants) validateOrderDetails(ctx context.Context, tx *sql.Tx, c command.Of[messages.ValidateOrderDetails]) (command.Answer, error) {
	prices, err := s.store.prices(ctx, tx, c.Data.RestaurantID)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return command.Fail(messages.RestaurantNotFound{RestaurantID: c.Data.RestaurantID}), nil
	case err != nil:
		return command.Answer{}, err
	}
	total, refusal := totalOf(prices, &c.Data)
	if refusal != nil {
		return command.Fail(refusal), nil
	}
	return command.Succeed(messages.OrderDetailsValidated{RestaurantID: c.Data.RestaurantID, OrderTotal: total}), nil
}

// totalOf adds up prices times quantities, or says why that cannot be done.
func totalOf(prices map[string]money.Money, order *messages.ValidateOrderDetails) (money.Money, command.Reply) {
	var total money.Money
	for _, item := range order.LineItems {
		price, ok := prices[item.MenuItemID]
		if !ok {
			return 0, messages.MenuItemNotFound{RestaurantID: order.RestaurantID, MenuItemID: item.MenuItemID}
		}
		// Divided, since the product may be more than an int64 holds.
		if money.Money(item.Quantity) > (money.Max-total)/price {
			return 0, messages.OrderTotalTooLarge{RestaurantID: order.RestaurantID}
		}
		total += price * money.Money(item.Quantity)
	}
	return total, nil
}
