package connect

import (
	"tidings.example/store/mysql"
	"tidings.example/store/postgres"
	"tidings.example/store/sqlite"
)

// databaseSchemes and brokerSchemes are what URLs may begin with, in the order
// in which error texts offer them.
var (
	databaseSchemes = []scheme{
		{name: "sqlite", kind: "sqlite", example: "sqlite:orders.db", file: true, params: sqliteParams,
			openDatabase: openSQLite, migrations: new(sqlite.Admin)},
		{name: "postgres", kind: "postgres", example: "postgres://user:password@host/database", params: postgresParams,
			openDatabase: openPostgres, migrations: new(postgres.Admin), maintenance: "postgres"},
		{name: "postgresql", kind: "postgres", example: "postgresql://user:password@host/database", params: postgresParams,
			openDatabase: openPostgres, migrations: new(postgres.Admin), maintenance: "postgres", alias: true},
		{name: "mysql", kind: "mysql", example: "mysql://user:password@host/database", params: mysqlParams,
			openDatabase: openMySQL, migrations: new(mysql.Admin), maintenance: "information_schema"},
		{name: "mariadb", kind: "mysql", example: "mariadb://user:password@host/database", params: mysqlParams,
			openDatabase: openMySQL, migrations: new(mysql.Admin), maintenance: "information_schema", alias: true},
	}
	brokerSchemes = []scheme{
		{name: "kafka", kind: "kafka", example: "kafka://host:9092", params: kafkaParams, openBroker: openKafka},
		{name: "nats", kind: "nats", example: "nats://host:4222", params: natsParams, openBroker: openNATS},
		{name: "tls", kind: "nats", example: "tls://host:4222", params: natsParams, openBroker: openNATS, alias: true},
		{name: "ws", kind: "nats", example: "ws://host:80", params: natsParams, openBroker: openNATS, alias: true},
		{name: "wss", kind: "nats", example: "wss://host:443", params: natsParams, openBroker: openNATS, alias: true},
	}
)
