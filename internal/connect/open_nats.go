package connect

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"tidings.example/broker/natsjs"
)

// natsParams: files for TLS and credentials as package natsjs has them, the
// prefix of all names, and the shape of channels that are created.
var natsParams = []string{"ca", "cert", "creds", "key", "partitions", "prefix", "replicas"}

func openNATS(ctx context.Context, l location, o Options) (*Broker, error) {
	if l.path != "" {
		return nil, badURL("%s URL has a path, which means nothing to NATS; write it as in nats://host:4222", l.scheme)
	}
	cfg := natsjs.Config{URL: natsServers(l), Prefix: l.params.Get("prefix"), Member: o.Member, Logger: o.Logger}
	var err error
	if cfg.Partitions, err = l.number("partitions", 1, 960); err != nil {
		return nil, err
	}
	if cfg.Replicas, err = l.number("replicas", 1, 5); err != nil {
		return nil, err
	}
	b, err := natsjs.Open(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("broker %s: %w", Redact(l.raw), err)
	}
	return NewNATS(b), nil
}

// NewNATS is a broker that was opened otherwise, such as one on a server inside
// this process.
func NewNATS(b *natsjs.Broker) *Broker {
	return &Broker{Kind: "nats", Publisher: b, Subscriber: b, Provisioner: b, RetainedReader: b, Doctor: b, Ready: b.Ready, Close: b.Close}
}

// natsServers writes the servers as natsjs reads them: a list of whole URLs, of
// which the first has the names of files.
func natsServers(l location) string {
	var user *url.Userinfo
	switch {
	case l.password != "":
		user = url.UserPassword(l.user, l.password)
	case l.user != "": // a token
		user = url.User(l.user)
	}
	files := url.Values{}
	for _, name := range []string{"ca", "cert", "creds", "key"} {
		if v := l.params.Get(name); v != "" {
			files.Set(name, v)
		}
	}
	var servers []string
	for i, host := range l.hosts {
		u := url.URL{Scheme: l.scheme, User: user, Host: host}
		if i == 0 {
			u.RawQuery = files.Encode()
		}
		servers = append(servers, u.String())
	}
	return strings.Join(servers, ",")
}
