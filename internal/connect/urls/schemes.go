package urls

// A Scheme is what a URL may begin with, and what it then may hold.
type Scheme struct {
	Name string
	// Kind is sqlite, postgres, mysql, kafka or nats.
	Kind    string
	Example string
	Params  []string
	// File says that a path follows, not a server.
	File bool
	// Maintenance is the database to connect to where another is to be created.
	Maintenance string
	// Alias schemes are not offered in error texts.
	Alias bool
}

// databases and brokers are what URLs may begin with, in the order in which
// error texts offer them.
var (
	databases = []Scheme{
		{Name: "sqlite", Kind: "sqlite", Example: "sqlite:orders.db", File: true, Params: sqliteParams},
		{Name: "postgres", Kind: "postgres", Example: "postgres://user:password@host/database", Params: postgresParams, Maintenance: "postgres"},
		{Name: "postgresql", Kind: "postgres", Example: "postgresql://user:password@host/database", Params: postgresParams, Maintenance: "postgres", Alias: true},
		{Name: "mysql", Kind: "mysql", Example: "mysql://user:password@host/database", Params: mysqlParams, Maintenance: "information_schema"},
		{Name: "mariadb", Kind: "mysql", Example: "mariadb://user:password@host/database", Params: mysqlParams, Maintenance: "information_schema", Alias: true},
	}
	brokers = []Scheme{
		{Name: "kafka", Kind: "kafka", Example: "kafka://host:9092", Params: kafkaParams},
		{Name: "nats", Kind: "nats", Example: "nats://host:4222", Params: natsParams},
		{Name: "tls", Kind: "nats", Example: "tls://host:4222", Params: natsParams, Alias: true},
		{Name: "ws", Kind: "nats", Example: "ws://host:80", Params: natsParams, Alias: true},
		{Name: "wss", Kind: "nats", Example: "wss://host:443", Params: natsParams, Alias: true},
	}
)

var sqliteParams = []string{"busy_timeout", "synchronous"}

// postgresParams are how messages are appended, which package postgres reads, those
// of libpq that pgx knows, those of its pool, and the settings of a session that
// make sense for a program. The server would refuse any other, but with an error
// that says nothing of the URL.
var postgresParams = []string{
	"append", "application_name", "channel_binding", "connect_timeout", "dbname", "default_query_exec_mode", "host",
	"idle_in_transaction_session_timeout", "krbspn", "krbsrvname", "lock_timeout", "max_protocol_version", "min_protocol_version",
	"options", "passfile", "password", "pool_health_check_period", "pool_max_conn_idle_time", "pool_max_conn_lifetime",
	"pool_max_conn_lifetime_jitter", "pool_max_conns", "pool_min_conns", "pool_min_idle_conns", "port", "require_auth",
	"search_path", "service", "servicefile", "sslcert", "sslkey", "sslmode", "sslnegotiation", "sslpassword", "sslrootcert",
	"sslsni", "statement_timeout", "synchronous_commit", "target_session_attrs", "timezone", "user",
}

// mysqlParams are those that package mysql reads from its URL.
var mysqlParams = []string{"append", "max-connections", "socket", "timeout", "tls", "tls-ca"}

// kafkaParams are those that package kafka reads from its URL.
var kafkaParams = []string{"ca", "cert", "client_id", "create", "key", "partitions", "replication", "sasl", "tls"}

// natsParams: files for TLS and credentials as package natsjs has them, the
// prefix of all names, and the shape of channels that are created.
var natsParams = []string{"ca", "cert", "creds", "key", "partitions", "prefix", "replicas"}
