package connect

import (
	"context"
	"log/slog"

	"tidings.example/internal/connect/urls"
	"tidings.example/store/mysql"
	"tidings.example/store/postgres"
	"tidings.example/store/sqlite"
)

// A URLError says what is wrong with the text of a URL: nothing was tried.
type URLError = urls.Error

// Redact returns a URL as people may see it; see [urls.Redact].
func Redact(raw string) string { return urls.Redact(raw) }

// What there is for each kind of URL.
var (
	databaseOpeners = map[string]func(context.Context, urls.Location, Options) (*Database, error){
		"sqlite": openSQLite, "postgres": openPostgres, "mysql": openMySQL}
	migrations = map[string]interface{ MigrationSQL() (string, error) }{
		"sqlite": new(sqlite.Admin), "postgres": new(postgres.Admin), "mysql": new(mysql.Admin)}
	brokerOpeners = map[string]func(context.Context, urls.Location, Options) (*Broker, error){
		"kafka": openKafka, "nats": openNATS}
)

// Options are what a URL does not say. The zero value is right for a command.
type Options struct {
	// Logger gets what adapters have to say. Default: nothing is logged.
	Logger *slog.Logger
	// Create allows to create a SQLite file that does not exist. A command
	// that only looks at a database must not make an empty one of a mistyped name.
	Create bool
	// Member names this process among those that share a subscriber's
	// messages, for brokers that ask for it. With a name that stays the same
	// it gets its partitions back at once when it is started again. Default:
	// a random name.
	Member string
}

func (o *Options) withDefaults() {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}

// OpenDatabase opens the database that a URL names:
//
//	sqlite:orders.db, sqlite:///var/lib/orders.db
//	postgres://user:password@host:5432/database
//	mysql://user:password@host:3306/database, mariadb://...
//
// The error is a [*URLError] where the URL itself is wrong; nothing was tried
// then. Any other error says what failed and where. No error holds a password.
func OpenDatabase(ctx context.Context, rawURL string, o Options) (*Database, error) {
	l, err := urls.Database(rawURL)
	if err != nil {
		return nil, err
	}
	o.withDefaults()
	return databaseOpeners[l.Spec.Kind](ctx, l, o)
}

// OpenBroker opens the broker that a URL names:
//
//	nats://user:password@host:4222, tls://..., ws://..., wss://...
//	kafka://user:password@host:9092,host:9092
//
// Its errors are like those of [OpenDatabase].
func OpenBroker(ctx context.Context, rawURL string, o Options) (*Broker, error) {
	l, err := urls.Broker(rawURL)
	if err != nil {
		return nil, err
	}
	o.withDefaults()
	return brokerOpeners[l.Spec.Kind](ctx, l, o)
}

// CheckDatabaseURL returns a [*URLError] if the text is no URL of a database.
func CheckDatabaseURL(rawURL string) error {
	_, err := urls.Database(rawURL)
	return err
}

// CheckBrokerURL returns a [*URLError] if the text is no URL of a broker.
func CheckBrokerURL(rawURL string) error {
	_, err := urls.Broker(rawURL)
	return err
}

// MigrationSQL returns the text of all migrations for the kind of database that
// a URL names. It does not connect.
func MigrationSQL(rawURL string) (string, error) {
	l, err := urls.Database(rawURL)
	if err != nil {
		return "", err
	}
	return migrations[l.Spec.Kind].MigrationSQL()
}

// DatabaseKind returns "sqlite", "postgres" or "mysql" for a URL, or a [*URLError].
func DatabaseKind(rawURL string) (string, error) {
	l, err := urls.Database(rawURL)
	if err != nil {
		return "", err
	}
	return l.Spec.Kind, nil
}

// BrokerKind returns "nats" or "kafka" for a URL, or a [*URLError].
func BrokerKind(rawURL string) (string, error) {
	l, err := urls.Broker(rawURL)
	if err != nil {
		return "", err
	}
	return l.Spec.Kind, nil
}
