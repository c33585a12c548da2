// Package messages is what the services of the sample ask each other, and all that
// they share about each other: participants, commands and replies. Nothing here
// does anything; to test with it, make values.
package messages

import (
	"tidings.example/command"
	"tidings.example/examples/shared/money"
)

// Names are the participants and channels of a system. Prefix comes before each name
// on the broker, so that several systems can share one; it may be empty.
type Names struct{ Prefix string }

// The services, by their names as processes, subscribers and sources.
const (
	OrderService      = "order-service"
	ConsumerService   = "consumer-service"
	RestaurantService = "restaurant-service"
)

// Consumers is Consumer Service as a participant.
func (n Names) Consumers() command.Participant {
	return command.Participant{Name: ConsumerService, Channel: n.Prefix + ConsumerService + ".commands"}
}

// Restaurants is Restaurant Service as a participant.
func (n Names) Restaurants() command.Participant {
	return command.Participant{Name: RestaurantService, Channel: n.Prefix + RestaurantService + ".commands"}
}

// A LineItem says how many of what is ordered.
type LineItem struct {
	MenuItemID string `json:"menuItemId"`
	Quantity   int    `json:"quantity"`
}

// ValidateConsumerInfo asks Consumer Service whether a consumer may place an order.
type ValidateConsumerInfo struct {
	OrderID    string `json:"orderId"`
	ConsumerID string `json:"consumerId"`
}

// ConsumerValidated: the consumer may place orders of up to the limit each.
type ConsumerValidated struct {
	ConsumerID    string      `json:"consumerId"`
	SpendingLimit money.Money `json:"spendingLimit"`
}

// ConsumerNotFound: there is no such consumer.
type ConsumerNotFound struct {
	ConsumerID string `json:"consumerId"`
}

// ValidateOrderDetails asks Restaurant Service whether a restaurant has what is
// ordered, and what it costs.
type ValidateOrderDetails struct {
	OrderID      string     `json:"orderId"`
	RestaurantID string     `json:"restaurantId"`
	LineItems    []LineItem `json:"lineItems"`
}

// OrderDetailsValidated: the restaurant has all of it, at this price.
type OrderDetailsValidated struct {
	RestaurantID string      `json:"restaurantId"`
	OrderTotal   money.Money `json:"orderTotal"`
}

// RestaurantNotFound: there is no such restaurant.
type RestaurantNotFound struct {
	RestaurantID string `json:"restaurantId"`
}

// MenuItemNotFound: the restaurant's menu has no such item.
type MenuItemNotFound struct {
	RestaurantID string `json:"restaurantId"`
	MenuItemID   string `json:"menuItemId"`
}

// OrderTotalTooLarge: what is ordered costs more than money can be.
type OrderTotalTooLarge struct {
	RestaurantID string `json:"restaurantId"`
}

// CommandType is the name on the wire.
func (ValidateConsumerInfo) CommandType() string { return "ValidateConsumerInfo" }

// CommandType is the name on the wire.
func (ValidateOrderDetails) CommandType() string { return "ValidateOrderDetails" }

// ReplyType is the name on the wire.
func (ConsumerValidated) ReplyType() string { return "ConsumerValidated" }

// ReplyType is the name on the wire.
func (ConsumerNotFound) ReplyType() string { return "ConsumerNotFound" }

// ReplyType is the name on the wire.
func (OrderDetailsValidated) ReplyType() string { return "OrderDetailsValidated" }

// ReplyType is the name on the wire.
func (RestaurantNotFound) ReplyType() string { return "RestaurantNotFound" }

// ReplyType is the name on the wire.
func (MenuItemNotFound) ReplyType() string { return "MenuItemNotFound" }

// ReplyType is the name on the wire.
func (OrderTotalTooLarge) ReplyType() string { return "OrderTotalTooLarge" }
