package natsjs

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"tidings.example"
	"tidings.example/broker"
)

// Config says how to reach a server and how channels are created on it.
type Config struct {
	// URL is the server's address, or several separated by commas:
	// "nats://user:password@host:4222", "tls://host:4222", "ws://..." or
	// "wss://...". A token stands where the user does. As parameters it may
	// name files: "?creds=..." a NATS credentials file, "?ca=..." trusted
	// certificates, "?cert=...&key=..." a client certificate. Passwords and
	// tokens are never part of an error. Required unless Server is set.
	URL string
	// Server is a server in this process, instead of a URL.
	Server *Embedded
	// TLS is used as it is, if not nil, for URLs of any scheme.
	TLS *tls.Config
	// Prefix begins all names on the server: letters, digits, '-' and '_'.
	// Default "tidings". Processes that share messages share it.
	Prefix string

	// Partitions is the number of partitions of a channel that is created;
	// it must divide 960. More partitions let more members share a
	// subscriber's work. Default 4. Existing channels keep theirs.
	Partitions int
	// Replicas is the number of servers of a cluster that store a channel
	// that is created, and the positions. Default 1.
	Replicas int
	// MaxAge is after which time messages are removed from a channel that is
	// created. Default 0: never.
	MaxAge time.Duration
	// MaxBytes bounds what a channel that is created stores; the oldest
	// messages are removed. Default 0: no bound.
	MaxBytes int64
	// Duplicates is for how long the server of a channel that is created
	// remembers what was published, to drop what is published again after a
	// lost acknowledgement. It costs the server about 200 bytes for each
	// message within that time. Nothing depends on it but the number of
	// repeated deliveries. Default 10 s; at least 100 ms.
	Duplicates time.Duration

	// Member names this process among those that share a subscriber. Two
	// processes that run at the same time must not share a name. With a name
	// that stays the same, a process that was killed gets its partitions back
	// at once when it is started again. Default: a random name.
	Member string

	// Codec is the wire format. Default broker.NATSCloudEvents().
	Codec broker.Codec
	// Logger receives what is not returned. Default slog.Default().
	Logger *slog.Logger
}

func (c Config) complete() (Config, error) {
	if c.Prefix == "" {
		c.Prefix = defaultPrefix
	}
	if err := tidings.ValidateName("prefix", c.Prefix); err != nil || strings.Contains(c.Prefix, ".") {
		return c, fmt.Errorf("NATS prefix %q: use letters, digits, '-' and '_'", c.Prefix)
	}
	if c.Partitions == 0 {
		c.Partitions = 4
	}
	if c.Partitions < 0 || tidings.DefaultLanes%c.Partitions != 0 {
		return c, fmt.Errorf("NATS partitions: %d does not divide %d; use 1, 2, 3, 4, 6, 8, 12 or 16", c.Partitions, tidings.DefaultLanes)
	}
	if c.Replicas == 0 {
		c.Replicas = 1
	}
	if c.Replicas < 0 || c.Replicas > 5 {
		return c, fmt.Errorf("NATS replicas: %d is not between 1 and 5", c.Replicas)
	}
	if c.MaxAge < 0 || c.MaxBytes < 0 {
		return c, errors.New("NATS retention: a limit is negative; use 0 for none")
	}
	if c.Duplicates == 0 {
		c.Duplicates = 10 * time.Second
	}
	if c.MaxAge > 0 {
		c.Duplicates = min(c.Duplicates, c.MaxAge)
	}
	if c.Duplicates < 100*time.Millisecond {
		return c, fmt.Errorf("NATS duplicate window and maximum age must be at least 100ms, not %s", c.Duplicates)
	}
	if c.Member == "" {
		c.Member = tidings.NewID()
	}
	if err := tidings.ValidateName("member", c.Member); err != nil || len(c.Member) > maxMember {
		return c, fmt.Errorf("NATS member %q: use at most %d letters, digits, '.', '-' and '_'", c.Member, maxMember)
	}
	if c.Codec == nil {
		c.Codec = broker.NATSCloudEvents()
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if (c.URL == "") == (c.Server == nil) {
		return c, errors.New("NATS needs either a URL, such as nats://localhost:4222, or an embedded server")
	}
	return c, nil
}

const maxMember = 150

// dial are the servers and options that a configuration comes to. Its errors
// hold no part of a URL but scheme, host and file names.
func (c *Config) dial() (servers string, options []nats.Option, err error) {
	if c.Server != nil {
		return "", c.Server.options(), nil
	}
	if c.TLS != nil {
		options = append(options, nats.Secure(c.TLS))
	}
	var list []string
	for i, raw := range strings.Split(c.URL, ",") {
		u, err := parseURL(strings.TrimSpace(raw))
		if err != nil {
			return "", nil, err
		}
		// The files are the same for all servers: those of the first URL count.
		if i == 0 {
			more, err := fileOptions(u.Query())
			if err != nil {
				return "", nil, err
			}
			options = append(options, more...)
		}
		u.RawQuery = ""
		list = append(list, u.String())
	}
	return strings.Join(list, ","), options, nil
}

func parseURL(raw string) (*url.URL, error) {
	if !strings.Contains(raw, "://") {
		raw = "nats://" + raw
	}
	u, err := url.Parse(raw)
	if err != nil {
		// The parser's error repeats the URL, with the password.
		return nil, errors.New("NATS URL cannot be parsed: write nats://user:password@host:4222, with special characters percent-encoded")
	}
	switch u.Scheme {
	case "nats", "tls", "ws", "wss":
	default:
		return nil, fmt.Errorf("NATS URL has the unknown scheme %q: use nats, tls, ws or wss", u.Scheme)
	}
	if u.Hostname() == "" {
		return nil, errors.New("NATS URL has no host: write nats://host:4222")
	}
	return u, nil
}

func fileOptions(q url.Values) (options []nats.Option, err error) {
	for name := range q {
		switch name {
		case "creds":
			options = append(options, nats.UserCredentials(q.Get("creds")))
		case "ca":
			options = append(options, nats.RootCAs(q.Get("ca")))
		case "cert":
			options = append(options, nats.ClientCert(q.Get("cert"), q.Get("key")))
		case "key":
			if q.Get("cert") == "" {
				return nil, errors.New("NATS URL has the parameter key without cert")
			}
		default:
			return nil, fmt.Errorf("NATS URL has the unknown parameter %q: use creds, ca, cert and key", name)
		}
	}
	return options, nil
}
