package broker

import (
	"errors"
	"fmt"

	"tidings.example"
)

// DefaultMaxInFlight is the default of [Subscription.MaxInFlight].
const DefaultMaxInFlight = 1000

// Complete checks the subscription and returns it with its defaults filled in.
// The error says which field is wrong. Adapters call it first.
func (s Subscription) Complete() (Subscription, error) {
	if err := tidings.ValidateName("subscriber", s.Subscriber); err != nil {
		return s, nameError(err)
	}
	if len(s.Channels) == 0 {
		return s, errors.New("subscription has no channels: name at least one")
	}
	seen := make(map[string]bool, len(s.Channels))
	for _, channel := range s.Channels {
		if err := tidings.ValidateName("channel", channel); err != nil {
			return s, nameError(err)
		}
		if seen[channel] {
			return s, fmt.Errorf("subscription names channel %q twice", channel)
		}
		seen[channel] = true
	}
	switch {
	case s.MaxInFlight < 0:
		return s, fmt.Errorf("subscription's MaxInFlight is %d: use 1 or more, or 0 for %d", s.MaxInFlight, DefaultMaxInFlight)
	case s.MaxInFlight == 0:
		s.MaxInFlight = DefaultMaxInFlight
	}
	return s, nil
}

// nameError takes the words "invalid message" out of an error about a name: it
// is the subscription that is wrong.
func nameError(err error) error {
	if e, ok := errors.AsType[*tidings.InvalidError](err); ok {
		return fmt.Errorf("subscription's %s %s", e.Field, e.Rule)
	}
	return err
}
