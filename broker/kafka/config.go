package kafka

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"tidings.example"
	"tidings.example/broker"
)

// Config says how to reach a Kafka cluster and how topics are created on it.
type Config struct {
	// URL is the address of one or more servers of the cluster:
	// "kafka://user:password@host:9092,host2:9092?sasl=scram-sha-256&tls=true".
	// A host without a port has port 9092. Parameters:
	//
	//	tls=true          encrypt; also implied by ca and cert
	//	ca=FILE           trusted certificates, PEM, instead of the system's
	//	cert=FILE key=FILE  client certificate, PEM
	//	sasl=MECHANISM    plain, scram-sha-256 or scram-sha-512
	//	client_id=NAME    as ClientID
	//	create=true       as CreateTopics
	//	partitions=N      as Partitions
	//	replication=N     as ReplicationFactor
	//
	// The password is never part of an error or a log line. Required.
	URL string
	// TLS is used as it is, if not nil, instead of what the URL says about TLS.
	TLS *tls.Config
	// ClientID names this program in the servers' logs, metrics and quotas.
	// Default "tidings".
	ClientID string

	// CreateTopics has channels that do not exist created when they are first
	// published or subscribed to. Default: that is an error, since a misspelt
	// name would go unnoticed.
	CreateTopics bool
	// Partitions is the number of partitions of a topic that is created; it
	// must divide 960, so that a lane lies in one partition. Default 12.
	Partitions int
	// ReplicationFactor is how many servers keep each record of a topic that
	// is created. Default -1: what the cluster is configured to do.
	ReplicationFactor int

	// SessionTimeout is after which silence the cluster takes a member of a
	// subscriber for dead and gives its partitions to others. Clusters refuse
	// values outside their own bounds, by default 6 s to 30 min. Default 10 s.
	SessionTimeout time.Duration

	// Codec is the wire format. Default broker.KafkaCloudEvents().
	Codec broker.Codec
	// Dial opens connections, if not nil, for networks that need more than an
	// address. With TLS it must do the handshake as well.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Logger receives what is not returned. Default slog.Default().
	Logger *slog.Logger
}

const (
	defaultClientID       = "tidings"
	defaultPartitions     = 12
	defaultReplication    = -1
	defaultSessionTimeout = 10 * time.Second
)

// complete returns the configuration with defaults, and what its URL says.
func (c Config) complete() (Config, address, error) {
	a, err := parseURL(c.URL, &c)
	if err != nil {
		return c, a, fmt.Errorf("URL of Kafka: %w", err)
	}
	if c.ClientID == "" {
		c.ClientID = defaultClientID
	}
	if c.Partitions == 0 {
		c.Partitions = defaultPartitions
	}
	if c.Partitions < 1 || tidings.DefaultLanes%c.Partitions != 0 {
		return c, a, fmt.Errorf("partitions of Kafka topics: %d does not divide %d; use 1, 2, 3, 4, 6, 8, 12, 16, 24 or 32", c.Partitions, tidings.DefaultLanes)
	}
	if c.ReplicationFactor == 0 {
		c.ReplicationFactor = defaultReplication
	}
	if c.ReplicationFactor < -1 || c.ReplicationFactor > 1<<15-1 {
		return c, a, fmt.Errorf("replication factor %d of Kafka topics: use 1 or more, or -1 for the cluster's default", c.ReplicationFactor)
	}
	if c.SessionTimeout == 0 {
		c.SessionTimeout = defaultSessionTimeout
	}
	if c.SessionTimeout < 0 {
		return c, a, errors.New("session timeout of Kafka is negative")
	}
	if c.Codec == nil {
		c.Codec = broker.KafkaCloudEvents()
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.TLS != nil {
		a.tls = c.TLS
	}
	return c, a, nil
}
