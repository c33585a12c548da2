package natsjs

import (
	"strconv"
	"strings"
)

// Names on the server. A channel may contain '.', which separates tokens in
// subjects and must not occur in the name of a stream; '=' stands for it there,
// since no channel contains one.

const defaultPrefix = "tidings"

// names derives everything's name from one prefix.
type names struct{ prefix string }

func escape(name string) string { return strings.ReplaceAll(name, ".", "=") }

func unescape(name string) string { return strings.ReplaceAll(name, "=", ".") }

func (n names) stream(channel string) string { return n.prefix + "=" + escape(channel) }

// channel is the reverse of stream; ok is false for a stream that is not ours.
func (n names) channel(stream string) (channel string, ok bool) {
	name, ok := strings.CutPrefix(stream, n.prefix+"=")
	return unescape(name), ok
}

func (n names) subject(channel string, partition int) string {
	return n.prefix + "." + channel + "." + strconv.Itoa(partition)
}

// subjects are those of all partitions of a channel.
func (n names) subjects(channel string) string { return n.prefix + "." + channel + ".*" }

// The two buckets: members expire, positions do not.
func (n names) membersBucket() string   { return n.prefix + "_members" }
func (n names) positionsBucket() string { return n.prefix + "_positions" }

func (n names) memberKey(subscriber, member string) string {
	return escape(subscriber) + "." + escape(member)
}

func (n names) positionKey(subscriber string, p place) string {
	return escape(subscriber) + "." + escape(p.channel) + "." + strconv.Itoa(p.partition)
}

// A place is one partition of one channel.
type place struct {
	channel   string
	partition int
}

// parsePlace reads the rest of a position's key, after the subscriber.
func parsePlace(rest string) (p place, ok bool) {
	channel, number, ok := strings.Cut(rest, ".")
	if !ok {
		return place{}, false
	}
	partition, err := strconv.Atoi(number)
	if err != nil || partition < 0 {
		return place{}, false
	}
	return place{unescape(channel), partition}, true
}

// The subjects and streams behind a bucket, as NATS lays it out.
func bucketStream(bucket string) string { return "KV_" + bucket }

func bucketSubject(bucket, key string) string { return "$KV." + bucket + "." + key }

// operationHeader marks the records of a bucket that remove a key.
const operationHeader = "KV-Operation"
