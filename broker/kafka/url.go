package kafka

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

const defaultPort = "9092"

// An address is what a URL says about reaching the cluster.
type address struct {
	seeds []string
	tls   *tls.Config
	sasl  sasl.Mechanism
}

// parseURL reads the URL; parameters that stand for fields of c are written
// there unless the field is set. Package net/url is not used for the whole,
// because it takes one host only and repeats passwords in its errors.
func parseURL(text string, c *Config) (address, error) {
	var a address
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok || scheme != "kafka" {
		return a, errors.New(`does not begin with "kafka://"`)
	}
	rest, query, _ := strings.Cut(rest, "?")
	rest = strings.TrimSuffix(rest, "/")
	user, hosts := "", rest
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		user, hosts = rest[:at], rest[at+1:]
	}
	if strings.Contains(hosts, "/") {
		return a, errors.New("has a path; nothing may follow the port but parameters")
	}
	var err error
	if a.seeds, err = parseHosts(hosts); err != nil {
		return a, err
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return a, errors.New("has parameters that cannot be read")
	}
	p := parameters{values: values}
	mechanism := p.text("sasl")
	p.apply(c)
	if a.tls, err = p.tls(); err != nil {
		return a, err
	}
	if err := p.finish(); err != nil {
		return a, err
	}
	a.sasl, err = parseSASL(mechanism, user)
	return a, err
}

func parseHosts(hosts string) ([]string, error) {
	var seeds []string
	for host := range strings.SplitSeq(hosts, ",") {
		name, port, err := net.SplitHostPort(host)
		if err != nil {
			name, port, err = net.SplitHostPort(host + ":" + defaultPort)
		}
		if n, e := strconv.ParseUint(port, 10, 16); err != nil || name == "" || e != nil || n == 0 {
			return nil, errors.New(`has a host or port that cannot be read; write "host:port", separated by commas`)
		}
		seeds = append(seeds, net.JoinHostPort(name, port))
	}
	return seeds, nil
}

func parseSASL(mechanism, user string) (sasl.Mechanism, error) {
	name, password, hasPassword := strings.Cut(user, ":")
	name, err1 := url.PathUnescape(name)
	password, err2 := url.PathUnescape(password)
	switch {
	case err1 != nil || err2 != nil:
		return nil, errors.New("has a user or password that cannot be read; write '%' as %25, '@' as %40")
	case mechanism == "" && user != "":
		return nil, errors.New("has a user but no mechanism; add sasl=plain, sasl=scram-sha-256 or sasl=scram-sha-512")
	case mechanism == "":
		return nil, nil
	case name == "" || !hasPassword:
		return nil, errors.New("has a mechanism (sasl) but no user:password before the host")
	}
	switch strings.ToLower(mechanism) {
	case "plain":
		return plain.Auth{User: name, Pass: password}.AsMechanism(), nil
	case "scram-sha-256":
		return scram.Auth{User: name, Pass: password}.AsSha256Mechanism(), nil
	case "scram-sha-512":
		return scram.Auth{User: name, Pass: password}.AsSha512Mechanism(), nil
	}
	return nil, fmt.Errorf("has the unknown mechanism sasl=%s; use plain, scram-sha-256 or scram-sha-512", mechanism)
}

// parameters reads a URL's parameters; what nothing has asked for is unknown.
type parameters struct {
	values url.Values
	known  []string
	err    error
}

func (p *parameters) fail(err error) {
	if p.err == nil {
		p.err = err
	}
}

func (p *parameters) text(name string) string {
	p.known = append(p.known, name)
	v := p.values[name]
	if len(v) > 1 {
		p.fail(fmt.Errorf("has the parameter %s more than once", name))
	}
	return p.values.Get(name)
}

func (p *parameters) flag(name string) bool {
	switch s := p.text(name); s {
	case "", "false":
		return false
	case "true":
		return true
	default:
		p.fail(fmt.Errorf("has %s=%s; use true or false", name, s))
		return false
	}
}

func (p *parameters) number(name string) int {
	s := p.text(name)
	if s == "" {
		return 0
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		p.fail(fmt.Errorf("has %s=%s, which is not a number", name, s))
	}
	return n
}

// apply fills those fields of c that are not set.
func (p *parameters) apply(c *Config) {
	if id := p.text("client_id"); c.ClientID == "" {
		c.ClientID = id
	}
	if n := p.number("partitions"); c.Partitions == 0 {
		c.Partitions = n
	}
	if n := p.number("replication"); c.ReplicationFactor == 0 {
		c.ReplicationFactor = n
	}
	if p.flag("create") {
		c.CreateTopics = true
	}
}

func (p *parameters) tls() (*tls.Config, error) {
	on, ca, cert, key := p.flag("tls"), p.text("ca"), p.text("cert"), p.text("key")
	if !on && ca == "" && cert == "" && key == "" {
		return nil, nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if ca != "" {
		pem, err := os.ReadFile(ca)
		if err != nil {
			return nil, fmt.Errorf("read ca: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("ca file %s has no certificate in PEM form", ca)
		}
	}
	if (cert == "") != (key == "") {
		return nil, errors.New("has only one of cert and key; a client certificate needs both")
	}
	if cert != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return nil, fmt.Errorf("read cert and key: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

func (p *parameters) finish() error {
	for name := range p.values {
		if !slices.Contains(p.known, name) {
			slices.Sort(p.known)
			return fmt.Errorf("has the unknown parameter %s; known are %s", name, strings.Join(p.known, ", "))
		}
	}
	return p.err
}
