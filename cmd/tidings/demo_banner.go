package main

import (
	"fmt"
	"net/url"
	"strings"

	sample "tidings.example/examples/customers-orders"
	"tidings.example/internal/connect"
)

// banner says what runs, where, and what to try.
func (d *demo) banner(system *sample.System) {
	s := &d.settings
	if !s.whole() {
		fmt.Fprintf(d.stdout, "%s runs at http://%s, data in %s\n", s.process, system.Addr(s.process), d.storePlace())
		return
	}
	base := "http://" + system.Addr(sample.Gateway)
	fmt.Fprintf(d.stdout, `The sample runs: services that keep orders and credit limits consistent through messages.

  page       %s
  services   %s (in this process, behind %s)
  databases  %s
  broker     %s
  health     %s/readyz and %s/metrics
  stop       Ctrl-C; the same command goes on where it was

Try, in another terminal, or open the page:

%s
`, base, strings.Join(sample.Services, ", "), sample.Gateway, d.storePlace(), d.brokerPlace(), base, base, tryOut(base))
}

// tryOut is three commands that work when they are pasted.
func tryOut(base string) string {
	const post = " -H 'Content-Type: application/json' -d "
	return "  customer=$(curl -sS " + base + "/customers" + post + `'{"name":"Ada","creditLimit":{"amount":100}}' | cut -d'"' -f4)` + "\n" +
		"  curl -sS " + base + "/orders" + post + `'{"customerId":"'$customer'","orderTotal":{"amount":12.34}}'` + "\n" +
		"  sleep 1; curl -sS " + base + "/customers/$customer/orderhistory"
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
