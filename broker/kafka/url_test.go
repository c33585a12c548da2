package kafka

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestURL(t *testing.T) {
	t.Parallel()
	tests := []struct {
		url       string
		seeds     []string
		mechanism string
		tls       bool
		check     func(c Config) bool
	}{
		{url: "kafka://localhost", seeds: []string{"localhost:9092"}},
		{url: "kafka://a:1,b:2,c/", seeds: []string{"a:1", "b:2", "c:9092"}},
		{url: "kafka://[::1]:9093,[fe80::1]", seeds: []string{"[::1]:9093", "[fe80::1]:9092"}},
		{url: "kafka://u:p%40%3A@h?sasl=plain", seeds: []string{"h:9092"}, mechanism: "PLAIN"},
		{url: "kafka://u:p@h?sasl=scram-sha-256&tls=true", seeds: []string{"h:9092"}, mechanism: "SCRAM-SHA-256", tls: true},
		{url: "kafka://u:p@h?sasl=SCRAM-SHA-512", seeds: []string{"h:9092"}, mechanism: "SCRAM-SHA-512"},
		{url: "kafka://h?client_id=me&create=true&partitions=24&replication=3", seeds: []string{"h:9092"}, check: func(c Config) bool {
			return c.ClientID == "me" && c.CreateTopics && c.Partitions == 24 && c.ReplicationFactor == 3
		}},
		{url: "kafka://h", seeds: []string{"h:9092"}, check: func(c Config) bool {
			return c.ClientID == "tidings" && !c.CreateTopics && c.Partitions == 12 && c.ReplicationFactor == -1
		}},
	}
	for _, tt := range tests {
		t.Run(tt.url, func(t *testing.T) {
			t.Parallel()
			c, a, err := Config{URL: tt.url}.complete()
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(a.seeds, tt.seeds) || (a.tls != nil) != tt.tls {
				t.Fatalf("seeds %q, TLS %v; want %q, %v", a.seeds, a.tls != nil, tt.seeds, tt.tls)
			}
			if tt.mechanism != "" && (a.sasl == nil || a.sasl.Name() != tt.mechanism) || tt.mechanism == "" && a.sasl != nil {
				t.Fatalf("mechanism %v, want %q", a.sasl, tt.mechanism)
			}
			if tt.check != nil && !tt.check(c) {
				t.Fatalf("wrong configuration %+v", c)
			}
		})
	}
}

// TestBadURL also checks that no error repeats the password.
func TestBadURL(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "not.pem")
	if err := os.WriteFile(file, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	for url, want := range map[string]string{
		"":                                     `does not begin with "kafka://"`,
		"localhost:9092":                       `does not begin with "kafka://"`,
		"http://h:9092":                        `does not begin with "kafka://"`,
		"kafka://":                             "host or port",
		"kafka://h:x":                          "host or port",
		"kafka://h:70000":                      "host or port",
		"kafka://h:1,":                         "host or port",
		"kafka://h/topic":                      "has a path",
		"kafka://h?color=blue":                 "unknown parameter color",
		"kafka://h?tls=yes":                    "tls=yes; use true or false",
		"kafka://h?partitions=x":               "not a number",
		"kafka://h?partitions=7":               "does not divide 960",
		"kafka://h?partitions=-1":              "does not divide 960",
		"kafka://h?replication=-2":             "replication factor -2",
		"kafka://h?tls=true&tls=true":          "more than once",
		"kafka://h?ca=/does/not/exist":         "read ca",
		"kafka://h?ca=" + file:                 "no certificate",
		"kafka://h?cert=" + file:               "only one of cert and key",
		"kafka://u:s3cr3t@h":                   "no mechanism",
		"kafka://u:s3cr3t@h?sasl=gssapi":       "unknown mechanism sasl=gssapi",
		"kafka://u@h?sasl=plain":               "no user:password",
		"kafka://h?sasl=plain":                 "no user:password",
		"kafka://u:s3cr3t%zz@h?sasl=plain":     "cannot be read; write '%' as %25",
		"kafka://u:s3cr3t@h:9092x?sasl=plain":  "host or port",
		"kafka://u:s3cr3t@h?sasl=plain&a=%%%":  "parameters that cannot be read",
		"kafka://u:s3cr3t/more@h?sasl=pl;ain&": "parameters that cannot be read",
	} {
		_, _, err := Config{URL: url}.complete()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want ...%s...", url, err, want)
		} else if strings.Contains(err.Error(), "s3cr3t") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: error tells the password or has two lines: %v", url, err)
		}
	}
}
