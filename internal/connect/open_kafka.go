package connect

import (
	"context"
	"fmt"

	"tidings.example/broker/kafka"
)

// kafkaParams are those that package kafka reads from its URL.
var kafkaParams = []string{"ca", "cert", "client_id", "create", "key", "partitions", "replication", "sasl", "tls"}

func openKafka(ctx context.Context, l location, o Options) (*Broker, error) {
	if l.path != "" {
		return nil, badURL("%s URL has a path, which means nothing to Kafka; write it as in kafka://host:9092", l.scheme)
	}
	if _, err := l.word("tls", "true", "false"); err != nil {
		return nil, err
	}
	if _, err := l.word("create", "true", "false"); err != nil {
		return nil, err
	}
	mechanism, err := l.word("sasl", "plain", "scram-sha-256", "scram-sha-512")
	if err != nil {
		return nil, err
	}
	if l.user != "" && mechanism == "" {
		return nil, badURL("%s URL has a user but no mechanism; add sasl=plain, sasl=scram-sha-256 or sasl=scram-sha-512", l.scheme)
	}
	if _, err := l.number("partitions", 1, 960); err != nil {
		return nil, err
	}
	if _, err := l.number("replication", 1, 100); err != nil {
		return nil, err
	}
	b, err := kafka.Open(ctx, kafka.Config{URL: l.raw, Logger: o.Logger})
	if err != nil {
		return nil, fmt.Errorf("broker %s: %w", Redact(l.raw), err)
	}
	return &Broker{Kind: "kafka", Publisher: b, Subscriber: b, Provisioner: b, RetainedReader: b, Doctor: b, Ready: b.Ready, Close: b.Close}, nil
}
