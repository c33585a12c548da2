package natsjs

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"tidings.example/admin"
)

// Doctor looks at the connection, the server and everything that is kept on it.
func (b *Broker) Doctor(ctx context.Context) []admin.Finding {
	d := &doctor{broker: b}
	if d.connection(ctx) {
		d.limits()
		d.streams(ctx)
	}
	return d.findings
}

type doctor struct {
	broker   *Broker
	findings []admin.Finding
}

func (d *doctor) ok(name, format string, args ...any) {
	d.findings = append(d.findings, admin.Finding{Name: name, Status: admin.OK, Detail: fmt.Sprintf(format, args...)})
}

func (d *doctor) bad(status admin.Status, name, advice, format string, args ...any) {
	d.findings = append(d.findings, admin.Finding{Name: name, Status: status, Detail: fmt.Sprintf(format, args...), Advice: advice})
}

// connection reports whether it makes sense to look further.
func (d *doctor) connection(ctx context.Context) bool {
	b := d.broker
	if status := b.conn.Status(); status != nats.CONNECTED {
		d.bad(admin.Fail, "NATS connection", "check the server and the network", "the connection is %s", status)
		return false
	}
	where := b.conn.ConnectedUrlRedacted()
	if b.config.Server != nil {
		where = "the server in this process"
	}
	version := b.conn.ConnectedServerVersion()
	if !atLeast(version, 2, 10) {
		d.bad(admin.Fail, "NATS version", "upgrade the server to 2.10 or later", "%s has version %s", where, version)
	} else {
		d.ok("NATS connection", "%s, version %s", where, version)
	}
	info, err := b.accountInfo(ctx)
	if err != nil {
		d.bad(admin.Fail, "NATS JetStream", "enable JetStream for the account, and permit this user $JS.API.>", "%v", err)
		return false
	}
	switch limit := info.Limits.MaxStore; {
	case limit == 0:
		d.bad(admin.Fail, "NATS JetStream", "give the account file storage", "the account may not store anything in files")
	case limit > 0 && info.Store > uint64(limit)/10*9:
		d.bad(admin.Warn, "NATS JetStream", "give the account more storage, or channels a maximum age", "%d of %d bytes are used", info.Store, limit)
	default:
		d.ok("NATS JetStream", "%d streams, %d bytes stored", info.Streams, info.Store)
	}
	return true
}

func atLeast(version string, major, minor int) bool {
	var x, y int
	if _, err := fmt.Sscanf(version, "%d.%d", &x, &y); err != nil {
		return false
	}
	return x > major || x == major && y >= minor
}

// usualPayload is what a server takes by default, and what the default limits
// of outboxes are made for.
const usualPayload = 1 << 20

func (d *doctor) limits() {
	if limit := d.broker.conn.MaxPayload(); limit < usualPayload {
		d.bad(admin.Warn, "NATS payload limit", "raise max_payload on the server, or lower the outbox's limit",
			"the server takes %d bytes, outboxes let up to 900 KiB pass", limit)
	} else {
		d.ok("NATS payload limit", "%d bytes", limit)
	}
}

// streams looks at all channels and at the two buckets.
func (d *doctor) streams(ctx context.Context) {
	ctx, cancel := d.broker.connected.bound(ctx, requestTime)
	defer cancel()
	list := d.broker.js.ListStreams(ctx)
	var names []string
	before := len(d.findings)
	skew := time.Duration(0)
	for info := range list.Info() {
		name, ours := d.broker.names.channel(info.Config.Name)
		switch {
		case ours:
			names = append(names, name)
			d.channel(name, info)
		case info.Config.Name == bucketStream(d.broker.names.positionsBucket()):
			d.positions(info)
		default:
			continue
		}
		if !info.TimeStamp.IsZero() {
			skew = time.Since(info.TimeStamp).Abs()
		}
	}
	if err := list.Err(); err != nil {
		d.bad(admin.Fail, "NATS channels", "permit this user $JS.API.STREAM.LIST", "list streams: %v", err)
		return
	}
	slices.Sort(names)
	if len(names) == 0 {
		d.ok("NATS channels", "none with the prefix %q yet", d.broker.names.prefix)
	} else if len(d.findings) == before {
		d.ok("NATS channels", "%d in order: %s", len(names), strings.Join(names, ", "))
	}
	if skew > 10*time.Second {
		d.bad(admin.Warn, "NATS clock", "synchronize the clocks; a maximum age is measured by the server's", "the server's clock differs by %s", skew.Round(time.Second))
	}
}

// channel checks what somebody may have changed, or made by hand.
func (d *doctor) channel(channel string, info *jetstream.StreamInfo) {
	name, c := "NATS channel "+channel, info.Config
	if _, err := channelOf(channel, info); err != nil {
		d.bad(admin.Fail, name, "nats stream edit --metadata", "%v", err)
	}
	if want := d.broker.names.subjects(channel); !slices.Equal(c.Subjects, []string{want}) {
		d.bad(admin.Fail, name, "set the stream's subjects to "+want, "the stream takes %q", c.Subjects)
	}
	if c.Storage != jetstream.FileStorage {
		d.bad(admin.Fail, name, "create the stream anew with file storage", "messages are lost when the server restarts")
	}
	if c.Retention != jetstream.LimitsPolicy {
		d.bad(admin.Fail, name, "create the stream anew with retention by limits", "retention is %s: messages vanish before each subscriber has seen them", c.Retention)
	}
	if c.NoAck || c.Sealed {
		d.bad(admin.Fail, name, "create the stream anew with EnsureChannels", "the stream takes no messages, or does not acknowledge them")
	}
	if c.PersistMode == jetstream.AsyncPersistMode {
		d.bad(admin.Fail, name, "create the stream anew with persist mode default", "messages are acknowledged before they are written")
	}
	if c.Discard == jetstream.DiscardNew && (c.MaxBytes > 0 || c.MaxMsgs > 0) {
		d.bad(admin.Warn, name, "set discard to old, or watch the limits", "a full stream refuses messages: outboxes will fill")
	}
	if c.MaxMsgsPerSubject > 0 {
		d.bad(admin.Warn, name, "remove the limit per subject", "only %d messages of each partition are kept", c.MaxMsgsPerSubject)
	}
	if info.Cluster != nil && info.Cluster.Name != "" {
		if info.Cluster.Leader == "" {
			d.bad(admin.Fail, name, "bring the missing servers of the cluster back", "the stream has no leader")
		}
		if c.Replicas == 1 {
			d.bad(admin.Warn, name, "nats stream edit --replicas 3", "one server of the cluster holds it alone")
		}
	}
}

func (d *doctor) positions(info *jetstream.StreamInfo) {
	if info.Config.Storage != jetstream.FileStorage || info.Config.MaxAge != 0 {
		d.bad(admin.Fail, "NATS positions", "create the bucket anew with file storage and without a maximum age",
			"subscribers' positions are not kept for ever: messages will be delivered again from the start")
	}
}
