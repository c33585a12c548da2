package main

import (
	"fmt"
	"net/url"
	"strings"

	"tidings.example/examples/shared/system"
	"tidings.example/internal/connect"
)

// banner says what runs, where, and what to try.
func (d *demo) banner(running *system.System) {
	s := &d.settings
	if !s.whole() {
		fmt.Fprintf(d.stdout, "%s runs at http://%s, data in %s\n", s.process, running.Addr(s.process), d.storePlace())
		return
	}
	base, sample := "http://"+running.Addr(system.Gateway), s.sample()
	address, try := "address", "Try, in another terminal"
	if sample.page {
		address, try = "page   ", "Try, in another terminal, or open the page"
	}
	fmt.Fprintf(d.stdout, `The sample runs: %s.

  %s    %s
  services   %s (in this process, behind %s)
  databases  %s
  broker     %s
  health     %s/readyz and %s/metrics
  stop       Ctrl-C; the same command goes on where it was

%s:

%s
`, sample.shows, address, base, strings.Join(sample.design.ServiceNames(), ", "), system.Gateway,
		d.storePlace(), d.brokerPlace(), base, base, try, sample.tryOut(base))
}

func (d *demo) storePlace() string {
	if d.settings.store.value == "sqlite" {
		return "SQLite, a file for each service in " + d.dir.path
	}
	return fmt.Sprintf("%s_* at %s", d.settings.prefix, connect.Redact(d.settings.storeURL))
}

func (d *demo) brokerPlace() string {
	if d.nats != nil {
		return "NATS JetStream in this process, in " + d.dir.file("nats")
	}
	return connect.Redact(d.settings.brokerURL)
}

// escapePath makes a path fit into a URL.
func escapePath(path string) string { return (&url.URL{Path: path}).EscapedPath() }
