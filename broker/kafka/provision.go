package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"tidings.example"
)

// EnsureChannels implements [broker.Provisioner]. Topics that exist keep their
// partitions and settings. It returns when the new ones have leaders, so that
// they can be used at once.
func (b *Broker) EnsureChannels(ctx context.Context, channels ...string) error {
	for _, channel := range channels {
		if err := tidings.ValidateName("channel", channel); err != nil {
			return fmt.Errorf("create topic: %w", err)
		}
	}
	missing, err := b.missing(ctx, channels)
	if err != nil {
		return fmt.Errorf("create topics: %w", err)
	}
	if len(missing) == 0 {
		return nil
	}
	answers, err := b.admin.CreateTopics(ctx, int32(b.config.Partitions), int16(b.config.ReplicationFactor), nil, missing...)
	if err != nil {
		return fmt.Errorf("create topics: %w", err)
	}
	for _, a := range answers.Sorted() {
		if a.Err != nil && !errors.Is(a.Err, kerr.TopicAlreadyExists) {
			return fmt.Errorf("create topic %s: %w", a.Topic, explainCreate(a.Err, a.ErrMessage))
		}
	}
	return b.awaitLeaders(ctx, missing)
}

func explainCreate(err error, message string) error {
	if message != "" {
		return fmt.Errorf("%w: %s", err, message)
	}
	return err
}

// missing returns those channels that have no topic.
func (b *Broker) missing(ctx context.Context, channels []string) ([]string, error) {
	if len(channels) == 0 {
		return nil, nil // asked for nothing, the cluster would list everything
	}
	m, err := b.admin.Metadata(ctx, channels...)
	if err != nil {
		return nil, err
	}
	var missing []string
	for _, channel := range channels {
		t, ok := m.Topics[channel]
		switch {
		case !ok || errors.Is(t.Err, kerr.UnknownTopicOrPartition):
			missing = append(missing, channel)
		case permanent(t.Err):
			return nil, fmt.Errorf("topic %s: %w", channel, t.Err)
		}
	}
	return missing, nil
}

// awaitLeaders waits until each partition of the topics has a leader.
func (b *Broker) awaitLeaders(ctx context.Context, topics []string) error {
	for tries := 1; ; tries++ {
		m, err := b.admin.Metadata(ctx, topics...)
		if err != nil {
			return fmt.Errorf("wait for the new topics: %w", err)
		}
		ready := true
		for _, topic := range topics {
			t := m.Topics[topic]
			ready = ready && t.Err == nil && len(t.Partitions) > 0
			for _, p := range t.Partitions {
				ready = ready && p.Err == nil && p.Leader >= 0
			}
		}
		if ready {
			return nil
		}
		timer := time.NewTimer(backoff(min(tries, 4)))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("wait for the new topics: %w", ctx.Err())
		}
	}
}
