package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"tidings.example"
	"tidings.example/admin"
)

// Doctor implements [admin.Doctor]: it looks at the cluster and at all topics
// that could be channels.
func (b *Broker) Doctor(ctx context.Context) []admin.Finding {
	if err := b.Ready(ctx); err != nil {
		return []admin.Finding{{
			Name: "Kafka connection", Status: admin.Fail, Detail: err.Error(),
			Advice: "start the cluster, or correct host, port, user or TLS in the URL",
		}}
	}
	d := doctor{b: b}
	d.ok("Kafka connection", "%s answers", strings.Join(b.address.seeds, ", "))
	d.cluster(ctx)
	d.topics(ctx)
	return d.findings
}

// A doctor collects findings.
type doctor struct {
	b        *Broker
	findings []admin.Finding
	servers  int
}

func (d *doctor) add(f admin.Finding) { d.findings = append(d.findings, f) }

func (d *doctor) ok(name, detail string, args ...any) {
	d.add(admin.Finding{Name: name, Status: admin.OK, Detail: fmt.Sprintf(detail, args...)})
}

// unknown notes what could not be looked at.
func (d *doctor) unknown(name string, err error) {
	advice := "try again; the servers' logs may say more"
	if errors.Is(err, kerr.ClusterAuthorizationFailed) || errors.Is(err, kerr.TopicAuthorizationFailed) {
		advice = "allow DESCRIBE and DESCRIBE_CONFIGS, or ignore this"
	}
	d.add(admin.Finding{Name: name, Status: admin.Warn, Detail: err.Error(), Advice: advice})
}

func (d *doctor) cluster(ctx context.Context) {
	versions, err := d.b.admin.ApiVersions(ctx)
	if err != nil {
		d.unknown("Kafka version", err)
	}
	var guesses []string
	for _, v := range versions.Sorted() {
		if guess := v.VersionGuess(); v.Err == nil && !slices.Contains(guesses, guess) {
			guesses = append(guesses, guess)
		}
	}
	if len(guesses) > 0 {
		d.ok("Kafka version", "%s", strings.Join(guesses, ", "))
	}
	m, err := d.b.admin.BrokerMetadata(ctx)
	if err != nil {
		d.unknown("Kafka servers", err)
		return
	}
	d.servers = len(m.Brokers)
	if d.servers < 3 {
		d.add(admin.Finding{
			Name: "Kafka servers", Status: admin.Warn, Detail: fmt.Sprintf("%d in the cluster", d.servers),
			Advice: "run three or more where messages must survive the loss of a machine",
		})
		return
	}
	d.ok("Kafka servers", "%d in the cluster", d.servers)
}

// topics looks at replication, partitions and what is thrown away.
func (d *doctor) topics(ctx context.Context) {
	topics, err := d.b.admin.ListTopics(ctx)
	if err != nil {
		d.unknown("Kafka topics", err)
		return
	}
	var names []string
	for _, t := range topics.Sorted() {
		if t.Err == nil && tidings.ValidateName("channel", t.Topic) == nil {
			names = append(names, t.Topic)
		}
	}
	if len(names) == 0 {
		d.add(admin.Finding{
			Name: "Kafka topics", Status: admin.Warn, Detail: "there are none that this user can see",
			Advice: "create the channels' topics, or set create=true in the URL",
		})
		return
	}
	d.ok("Kafka topics", "%d", len(names))
	d.partitions(topics, names)
	d.configs(ctx, topics, names)
}

func (d *doctor) partitions(topics kadm.TopicDetails, names []string) {
	var odd, single, leaderless []string
	for _, name := range names {
		t := topics[name]
		if n := len(t.Partitions); n > 0 && tidings.DefaultLanes%n != 0 {
			odd = append(odd, name)
		}
		if t.Partitions.NumReplicas() == 1 && d.servers > 1 {
			single = append(single, name)
		}
		for _, p := range t.Partitions {
			if p.Leader < 0 {
				leaderless = append(leaderless, name)
				break
			}
		}
	}
	d.list("topics without leader", admin.Fail, leaderless, "bring the servers back that hold these partitions")
	d.list("unreplicated topics", admin.Warn, single, "raise their replication factor to 3")
	d.list("partition counts", admin.Warn, odd, fmt.Sprintf(
		"with a number of partitions that divides %d a lane stays in one partition; otherwise numbers arrive out of order and are recorded as gaps for a while", tidings.DefaultLanes))
}

// configs reports settings that lose messages.
func (d *doctor) configs(ctx context.Context, topics kadm.TopicDetails, names []string) {
	configs, err := d.b.admin.DescribeTopicConfigs(ctx, names...)
	if err != nil {
		d.unknown("topic settings", err)
		return
	}
	var compacted, unsafe, small []string
	var failure error
	for _, c := range configs {
		if c.Err != nil {
			failure = c.Err
			continue
		}
		values := map[string]string{}
		for _, key := range c.Configs {
			values[key.Key] = key.MaybeValue()
		}
		if strings.Contains(values["cleanup.policy"], "compact") {
			compacted = append(compacted, c.Name)
		}
		if n, err := strconv.Atoi(values["min.insync.replicas"]); err == nil && n < 2 && topics[c.Name].Partitions.NumReplicas() > 1 {
			unsafe = append(unsafe, c.Name)
		}
		if n, err := strconv.Atoi(values["max.message.bytes"]); err == nil && n < 64<<10 {
			small = append(small, c.Name)
		}
	}
	if failure != nil {
		d.unknown("topic settings", failure)
	}
	d.list("compacted topics", admin.Warn, compacted, "compaction removes all but the last message of a key; set cleanup.policy=delete on channels")
	d.list("in-sync replicas", admin.Warn, unsafe, "set min.insync.replicas=2, or a record that only the leader has counts as stored")
	d.list("message size", admin.Warn, small, "max.message.bytes is below 64 KiB; larger messages are refused")
}

// list reports topics that have a problem, if there are any.
func (d *doctor) list(name string, status admin.Status, topics []string, advice string) {
	if len(topics) == 0 {
		return
	}
	slices.Sort(topics)
	shown := topics
	more := ""
	if len(shown) > 5 {
		shown, more = shown[:5], fmt.Sprintf(" and %d more", len(topics)-5)
	}
	d.add(admin.Finding{Name: name, Status: status, Detail: strings.Join(shown, ", ") + more, Advice: advice})
}
