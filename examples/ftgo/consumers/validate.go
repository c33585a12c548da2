package consumers

import (
	"context"
	"database/sql"
	"errors"

	"tidings.example/command"
	"tidings.example/examples/ftgo/messages"
)

// validateConsumerInfo answers whether a consumer may place an order: each that
// exists may. What the order costs is not known here, so the reply has the limit, as it is now.
func (s *consumers) validateConsumerInfo(ctx context.Context, tx *sql.Tx, c command.Of[messages.ValidateConsumerInfo]) (command.Answer, error) {
	consumer, err := s.store.get(ctx, tx, c.Data.ConsumerID)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return command.Fail(messages.ConsumerNotFound{ConsumerID: c.Data.ConsumerID}), nil
	case err != nil:
		return command.Answer{}, err
	}
	return command.Succeed(messages.ConsumerValidated{ConsumerID: consumer.ID, SpendingLimit: consumer.Limit}), nil
}
