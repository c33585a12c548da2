package kafka_test

import (
	"net"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"

	"tidings.example/admin"
	"tidings.example/broker/kafka"
)

func TestUnreachable(t *testing.T) {
	t.Parallel()
	// A port that nothing listens on: it was free a moment ago.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = kafka.Open(t.Context(), kafka.Config{URL: "kafka://user:s3cr3t@" + address + "?sasl=plain"})
	if err == nil || !strings.Contains(err.Error(), "reach "+address) || strings.Contains(err.Error(), "s3cr3t") || strings.Contains(err.Error(), "\n") {
		t.Fatalf("error %v, want one line with the address and without the password", err)
	}
}

func TestCredentials(t *testing.T) {
	t.Parallel()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.EnableSASL(),
		kfake.Superuser("PLAIN", "ann", "s3cr3t"), kfake.Superuser("SCRAM-SHA-256", "bob", "s3cr3t@2"))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	address := cluster.ListenAddrs()[0]
	for _, good := range []string{"ann:s3cr3t@" + address + "?sasl=plain", "bob:s3cr3t%402@" + address + "?sasl=scram-sha-256"} {
		b, err := kafka.Open(t.Context(), kafka.Config{URL: "kafka://" + good})
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Ready(t.Context()); err != nil {
			t.Error(err)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{"ann:wr0ng@" + address + "?sasl=plain", "bob:wr0ng@" + address + "?sasl=scram-sha-256", address} {
		_, err := kafka.Open(t.Context(), kafka.Config{URL: "kafka://" + bad})
		if err == nil || strings.Contains(err.Error(), "wr0ng") || strings.Contains(err.Error(), "\n") {
			t.Errorf("error %v, want one line without the password", err)
		}
	}
}

func TestDoctor(t *testing.T) {
	t.Parallel()
	b := setup(t, kafka.Config{})
	odd := b.channel(t, 7, "cleanup.policy", "compact")
	findings := map[string]admin.Finding{}
	for _, f := range b.Doctor(testContext(t)) {
		findings[f.Name] = f
		if f.Status != admin.OK && f.Advice == "" {
			t.Errorf("finding without advice: %+v", f)
		}
	}
	for name, want := range map[string]admin.Status{"Kafka connection": admin.OK, "Kafka version": admin.OK, "Kafka servers": admin.Warn, "Kafka topics": admin.OK,
		"partition counts": admin.Warn, "compacted topics": admin.Warn} {
		if findings[name].Status != want {
			t.Errorf("%s: %+v, want status %s", name, findings[name], want)
		}
	}
	for _, name := range []string{"partition counts", "compacted topics"} {
		if d := findings[name].Detail; !strings.Contains(d, odd) && !strings.Contains(d, "more") {
			t.Errorf("%s does not name the topic: %s", name, d)
		}
	}
}
