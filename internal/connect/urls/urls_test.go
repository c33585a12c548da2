package urls

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

// secretWord stands in every URL below that holds a secret.
const secretWord = "s3cr3t"

func TestDatabaseURLsInTheirParts(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ raw, hosts, user, password, path string }{
		{raw: "sqlite:orders.db", path: "orders.db"},
		{raw: "sqlite:data/orders.db", path: "data/orders.db"},
		{raw: "sqlite://data/orders.db", path: "data/orders.db"},
		{raw: "sqlite:///var/lib/orders.db?synchronous=full", path: "/var/lib/orders.db"},
		{raw: "sqlite:/var/lib/orders.db", path: "/var/lib/orders.db"},
		{raw: "sqlite:what%3F%25.db", path: "what?%.db"},
		{raw: "SQLite:orders.db", path: "orders.db"},
		{raw: " postgres://app@db/orders ", hosts: "db", user: "app", path: "orders"},
		{raw: "postgresql://app:s3cr3t@db:5432/orders?sslmode=disable", hosts: "db:5432", user: "app", password: secretWord, path: "orders"},
		{raw: "postgres://app:s3%40%2Fcr3t@a:5432,b:5433/orders", hosts: "a:5432 b:5433", user: "app", password: "s3@/cr3t", path: "orders"},
		{raw: "mysql://root@[::1]:3306/orders", hosts: "[::1]:3306", user: "root", path: "orders"},
		{raw: "mariadb://root@db/", hosts: "db", user: "root"},
	} {
		l, err := Database(test.raw)
		if err != nil {
			t.Errorf("%s: %v", test.raw, err)
			continue
		}
		if strings.Join(l.Hosts, " ") != test.hosts || l.User != test.user || l.Password != test.password || l.Path != test.path {
			t.Errorf("%s: got hosts %q, user %q, password %q, path %q", test.raw, l.Hosts, l.User, l.Password, l.Path)
		}
	}
}

func TestBadURLsAreExplained(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		kind, raw string
		want      []string
	}{
		{"database", "", []string{"no scheme", "sqlite:orders.db"}},
		{"database", "orders.db", []string{"no scheme", "sqlite:orders.db"}},
		{"database", "postgers://app:s3cr3t@db/orders", []string{`unknown scheme "postgers"`, `did you mean "postgres"`}},
		{"database", "sqlite3:orders.db", []string{`did you mean "sqlite"`}},
		{"database", "http://db/orders", []string{`unknown scheme "http"`, "sqlite:orders.db", "postgres://", "mysql://"}},
		{"database", "kafka://broker:9092", []string{"kafka", "a broker's", "sqlite:orders.db"}},
		{"broker", "postgres://app:s3cr3t@db/orders", []string{"postgres", "a database's", "nats://"}},
		{"broker", "amqp://broker", []string{`unknown scheme "amqp"`, "kafka://", "nats://"}},
		{"database", "sqlite:", []string{"names no file"}},
		{"database", "sqlite:data/", []string{"names no file"}},
		{"database", "sqlite::memory:", []string{"in memory"}},
		{"database", "sqlite:orders.db?sync=full", []string{`unknown parameter "sync"`, `did you mean "synchronous"`, "known are"}},
		{"database", "sqlite:orders.db?synchronous=full&synchronous=normal", []string{"2 times"}},
		{"database", "postgres:app@db", []string{"no //"}},
		{"database", "postgres://", []string{"host or port cannot be read", "percent-encode"}},
		{"database", "postgres://app:s3cr3t@db:port/orders", []string{"host or port cannot be read"}},
		{"database", "postgres://app:s3cr3t@db:99999/orders", []string{"host or port cannot be read"}},
		{"database", "postgres://app:s3cr/3t@db/orders", []string{"after the first slash", "percent-encode"}},
		{"database", "postgres://app:s3cr#3t@db/orders", []string{"#", "percent-encode"}},
		{"database", "postgres://app:s3cr@3t@db/orders", []string{"percent-encode"}},
		{"database", "postgres://app:s3cr%3t@db/orders", []string{"percent-encode"}},
		{"database", "postgres://app:s3cr?3t@db/orders", []string{"percent-encode"}},
		{"database", "postgres://db/orders?sslmod=disable", []string{`unknown parameter "sslmod"`, `did you mean "sslmode"`}},
		{"broker", "kafka://broker:9092,", []string{"host or port cannot be read"}},
	} {
		parse := Database
		if test.kind == "broker" {
			parse = Broker
		}
		_, err := parse(test.raw)
		var bad *Error
		if !errors.As(err, &bad) {
			t.Errorf("%s: got %v, want a *Error", test.raw, err)
			continue
		}
		for _, want := range test.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %q does not say %q", test.raw, err, want)
			}
		}
		if strings.Contains(err.Error(), "s3cr") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %q repeats the password or has several lines", test.raw, err)
		}
	}
}

func TestRedact(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"sqlite:orders.db":                            "sqlite:orders.db",
		"postgres://app:s3cr3t@db:5432/orders":        "postgres://app:xxxxx@db:5432/orders",
		"postgres://app@db/orders":                    "postgres://app@db/orders",
		"postgres://db/orders?password=s3cr3t&x=1":    "postgres://db/orders?password=xxxxx&x=1",
		"postgres://db/orders?sslpassword=s3cr3t":     "postgres://db/orders?sslpassword=xxxxx",
		"postgres://app:s3/cr@3t@db/orders":           "postgres://app:xxxxx@db/orders",
		"postgres://app:s3?c#r3t@db/orders?user=x":    "postgres://app:xxxxx@db/orders?user=x",
		"mysql://root:@db/":                           "mysql://root:xxxxx@db/",
		"kafka://a:s3cr3t@b1:9092,b2:9092?sasl=plain": "kafka://a:xxxxx@b1:9092,b2:9092?sasl=plain",
		"s3cr3t": "(not a URL)",
	} {
		if got := Redact(raw); got != want {
			t.Errorf("Redact(%s) = %s, want %s", raw, got, want)
		}
	}
}

// FuzzURL looks for a URL whose password gets into an error or the redacted text.
func FuzzURL(f *testing.F) {
	for _, s := range []string{"", "@", "/", "?", "#", ":", "%", "@x", "/@?", "a=b&", " ", "[", "//"} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, before, after string) {
		if slices.ContainsFunc([]string{before, after}, func(s string) bool { return strings.Contains(s, "QZQ") }) {
			return
		}
		raw := "postgres://user:" + before + "QZQ" + after + "@host/db"
		if s := Redact(raw); strings.Contains(s, "QZQ") {
			t.Errorf("Redact(%q) = %q", raw, s)
		}
		if _, err := Database(raw); err != nil && strings.Contains(err.Error(), "QZQ") {
			t.Errorf("Database(%q): %v", raw, err)
		}
	})
}
