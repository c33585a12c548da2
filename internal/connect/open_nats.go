package connect

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"tidings.example/broker/natsjs"
	"tidings.example/internal/connect/urls"
)

func openNATS(ctx context.Context, l urls.Location, o Options) (*Broker, error) {
	if l.Path != "" {
		return nil, urls.Errorf("%s URL has a path, which means nothing to NATS; write it as in nats://host:4222", l.Scheme)
	}
	cfg := natsjs.Config{URL: natsServers(l), Prefix: l.Params.Get("prefix"), Member: o.Member, Logger: o.Logger}
	var err error
	if cfg.Partitions, err = l.Number("partitions", 1, 960); err != nil {
		return nil, err
	}
	if cfg.Replicas, err = l.Number("replicas", 1, 5); err != nil {
		return nil, err
	}
	b, err := natsjs.Open(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("broker %s: %w", urls.Redact(l.Raw), err)
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
func natsServers(l urls.Location) string {
	var user *url.Userinfo
	switch {
	case l.Password != "":
		user = url.UserPassword(l.User, l.Password)
	case l.User != "": // a token
		user = url.User(l.User)
	}
	files := url.Values{}
	for _, name := range []string{"ca", "cert", "creds", "key"} {
		if v := l.Params.Get(name); v != "" {
			files.Set(name, v)
		}
	}
	var servers []string
	for i, host := range l.Hosts {
		u := url.URL{Scheme: l.Scheme, User: user, Host: host}
		if i == 0 {
			u.RawQuery = files.Encode()
		}
		servers = append(servers, u.String())
	}
	return strings.Join(servers, ",")
}
