package natsjs

import (
	"strings"
	"testing"
	"time"

	"tidings.example"
)

func TestConfigIsChecked(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(c *Config)
		want   string
	}{
		"no server":        {func(c *Config) { c.URL = "" }, "either a URL"},
		"both":             {func(c *Config) { c.Server = &Embedded{} }, "either a URL"},
		"dot in prefix":    {func(c *Config) { c.Prefix = "a.b" }, "prefix"},
		"star in prefix":   {func(c *Config) { c.Prefix = "*" }, "prefix"},
		"odd partitions":   {func(c *Config) { c.Partitions = 7 }, "partitions"},
		"many replicas":    {func(c *Config) { c.Replicas = 6 }, "replicas"},
		"negative age":     {func(c *Config) { c.MaxAge = -1 }, "retention"},
		"short window":     {func(c *Config) { c.Duplicates = time.Millisecond }, "duplicate window"},
		"bad member":       {func(c *Config) { c.Member = "a b" }, "member"},
		"unknown scheme":   {func(c *Config) { c.URL = "kafka://host" }, "scheme \"kafka\""},
		"no host":          {func(c *Config) { c.URL = "nats://" }, "no host"},
		"second server":    {func(c *Config) { c.URL = "nats://a,http://b" }, "scheme \"http\""},
		"unknown argument": {func(c *Config) { c.URL = "nats://a?credentials=x" }, "parameter \"credentials\""},
		"key alone":        {func(c *Config) { c.URL = "nats://a?key=x" }, "without cert"},
	} {
		c := Config{URL: "nats://127.0.0.1:1"}
		test.change(&c)
		_, err := Open(t.Context(), c)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error is %v, want one with %q", name, err, test.want)
		}
	}
}

func TestErrorsHideSecrets(t *testing.T) {
	t.Parallel()
	server := startServer(t, EmbeddedConfig{Addr: "127.0.0.1:0", User: "ada", Password: "right"})
	address := strings.TrimPrefix(server.url(), "nats://")
	for _, url := range []string{
		"nats://ada:s3cret@127.0.0.1:1",           // nobody listens
		"nats://ada:s3cret@" + address,            // refused
		"nats://s3cret@" + address,                // a token, refused
		"nats://ada:s3cret@%zz",                   // cannot be parsed
		"nats://ada:s3cret@host:port",             // nor this
		"redis://ada:s3cret@host",                 // unknown scheme
		"nats://ada:s3cret@",                      // no host
		"nats://ada:s3cret@" + address + "?x=y",   // unknown parameter
		"ada:s3cret@" + address + ",nats://%%",    // second one is bad
		"nats://ada:s3cret@" + address + "?ca=/x", // no such file
		"nats://a:b@" + address + "?creds=/s3cret-is-no-file-name-here",
	} {
		_, err := Open(t.Context(), Config{URL: url})
		if err == nil {
			t.Errorf("%s: no error", url)
			continue
		}
		if strings.Contains(err.Error(), "s3cret") && !strings.Contains(url, "creds=") {
			t.Errorf("error shows the secret: %v", err)
		}
		if strings.Contains(err.Error(), "\n") {
			t.Errorf("error has several lines: %q", err)
		}
	}
	b := openBroker(t, Config{URL: "nats://ada:right@" + address})
	if err := b.Ready(t.Context()); err != nil {
		t.Errorf("with the right password: %v", err)
	}
	if inside := openBroker(t, Config{Server: server.server}); inside.Ready(t.Context()) != nil {
		t.Error("the process itself cannot use its server")
	}
}

func TestPublicationID(t *testing.T) {
	t.Parallel()
	m := &tidings.Message{ID: "id", Source: "orders"}
	if got := publicationID(m); got != "orders/id" {
		t.Errorf("without a stamp: %q", got)
	}
	m.ID = "a b/é "
	if got := publicationID(m); got != "orders/a%20b%2F%C3%A9%20" {
		t.Errorf("with an odd id: %q", got)
	}
	m.Stamp = tidings.Stamp{Epoch: "e", Lane: 12, Sequence: 345}
	if got := publicationID(m); got != "orders/e/12/345" {
		t.Errorf("with a stamp: %q", got)
	}
}
