package connect

import (
	"context"
	"fmt"

	"tidings.example/broker/kafka"
	"tidings.example/internal/connect/urls"
)

func openKafka(ctx context.Context, l urls.Location, o Options) (*Broker, error) {
	if l.Path != "" {
		return nil, urls.Errorf("%s URL has a path, which means nothing to Kafka; write it as in kafka://host:9092", l.Scheme)
	}
	if _, err := l.Word("tls", "true", "false"); err != nil {
		return nil, err
	}
	if _, err := l.Word("create", "true", "false"); err != nil {
		return nil, err
	}
	mechanism, err := l.Word("sasl", "plain", "scram-sha-256", "scram-sha-512")
	if err != nil {
		return nil, err
	}
	if l.User != "" && mechanism == "" {
		return nil, urls.Errorf("%s URL has a user but no mechanism; add sasl=plain, sasl=scram-sha-256 or sasl=scram-sha-512", l.Scheme)
	}
	if _, err := l.Number("partitions", 1, 960); err != nil {
		return nil, err
	}
	if _, err := l.Number("replication", 1, 100); err != nil {
		return nil, err
	}
	b, err := kafka.Open(ctx, kafka.Config{URL: l.Raw, Logger: o.Logger})
	if err != nil {
		return nil, fmt.Errorf("broker %s: %w", urls.Redact(l.Raw), err)
	}
	return &Broker{Kind: "kafka", Publisher: b, Subscriber: b, Provisioner: b, RetainedReader: b, Doctor: b, Ready: b.Ready, Close: b.Close}, nil
}
