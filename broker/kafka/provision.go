package kafka

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

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
	states, err := b.states(ctx, channels)
	if err != nil {
		return nil, err
	}
	var missing []string
	for _, channel := range channels {
		err := states[channel]
		switch {
		case errors.Is(err, kerr.UnknownTopicOrPartition):
			missing = append(missing, channel)
		case permanent(err):
			return nil, fmt.Errorf("topic %s: %w", channel, err)
		}
	}
	return missing, nil
}

// states asks whether topics can be used: nil for one that can. It asks the
// cluster itself; package kadm would answer from memory.
func (b *Broker) states(ctx context.Context, topics []string) (map[string]error, error) {
	states := make(map[string]error, len(topics))
	if len(topics) == 0 {
		return states, nil // asked for nothing, the cluster would list everything
	}
	request := kmsg.NewPtrMetadataRequest()
	for _, topic := range topics {
		states[topic] = kerr.UnknownTopicOrPartition
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = kmsg.StringPtr(topic)
		request.Topics = append(request.Topics, t)
	}
	answer, err := request.RequestWith(ctx, b.client)
	if err != nil {
		return nil, err
	}
	for _, t := range answer.Topics {
		err := kerr.ErrorForCode(t.ErrorCode)
		for _, p := range t.Partitions {
			if err == nil && p.Leader < 0 {
				err = kerr.LeaderNotAvailable
			}
		}
		if t.Topic != nil {
			states[*t.Topic] = err
		}
	}
	return states, nil
}

// awaitLeaders waits until each partition of the topics has a leader.
func (b *Broker) awaitLeaders(ctx context.Context, topics []string) error {
	for tries := 1; ; tries++ {
		states, err := b.states(ctx, topics)
		if err != nil {
			return fmt.Errorf("wait for the new topics: %w", err)
		}
		ready := true
		for _, err := range states {
			ready = ready && err == nil
		}
		if ready {
			return nil
		}
		if wait(ctx, backoff(min(tries, 3))); ctx.Err() != nil {
			return fmt.Errorf("wait for the new topics: %w", ctx.Err())
		}
	}
}
