package servertest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// A Proxy is a piece of network between a client and a server, which a test may
// cut, slow down or make silent.
type Proxy struct {
	t     testing.TB
	proxy *toxiproxy.Proxy
}

// NewProxy returns a proxy in front of the server at upstream, which is
// host:port. It works until the end of the test.
func NewProxy(t testing.TB, upstream string) *Proxy {
	t.Helper()
	p := &Proxy{t: t, proxy: newProxy(t, "127.0.0.1:0", upstream)}
	if err := p.proxy.Start(); err != nil {
		t.Fatalf("start a proxy: %v", err)
	}
	t.Cleanup(func() { p.proxy.Stop() })
	return p
}

func newProxy(t testing.TB, listen, upstream string) *toxiproxy.Proxy {
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	return toxiproxy.NewProxy(server, t.Name(), listen, upstream)
}

// Addr is where clients connect to, as host:port. It stays the same.
func (p *Proxy) Addr() string { return p.proxy.Listen }

// Cut ends all connections and accepts no new ones.
func (p *Proxy) Cut() { p.proxy.Stop() }

// Stall lets nothing more through in either direction, while connections stay
// open: neither side can tell that the other is gone.
func (p *Proxy) Stall() {
	p.t.Helper()
	for _, stream := range []string{"upstream", "downstream"} {
		p.add(fmt.Sprintf(`{"type": "timeout", "name": "stall %[1]s", "stream": %[1]q, "attributes": {"timeout": 0}}`, stream))
	}
}

// Slow delays everything by d in either direction. Connections from before are
// cut: the delay is for new ones.
func (p *Proxy) Slow(d time.Duration) {
	p.t.Helper()
	p.proxy.Stop()
	defer p.start()
	for _, stream := range []string{"upstream", "downstream"} {
		p.add(fmt.Sprintf(`{"type": "latency", "name": "slow %[1]s", "stream": %[1]q, "attributes": {"latency": %[2]d, "jitter": %[3]d}}`,
			stream, d.Milliseconds(), d.Milliseconds()/2))
	}
}

func (p *Proxy) add(toxic string) {
	p.t.Helper()
	if _, err := p.proxy.Toxics.AddToxicJson(strings.NewReader(toxic)); err != nil {
		p.t.Errorf("make the network ill: %v", err)
	}
}

// Restore makes the network well again. What a stall has swallowed is lost, so
// connections from before are cut.
func (p *Proxy) Restore() {
	p.t.Helper()
	p.proxy.Stop()
	// Taking the toxics out of it could wait for data that is on its way.
	p.proxy = newProxy(p.t, p.proxy.Listen, p.proxy.Upstream)
	p.start()
}

func (p *Proxy) start() {
	p.t.Helper()
	if err := p.proxy.Start(); err != nil {
		p.t.Errorf("start the proxy again: %v", err)
	}
}
