package connect

import "tidings.example/store/sqlite"

// databaseSchemes and brokerSchemes are what URLs may begin with, in the order
// in which error texts offer them.
var (
	databaseSchemes = []scheme{
		{name: "sqlite", example: "sqlite:orders.db", file: true, params: sqliteParams,
			openDatabase: openSQLite, migrations: new(sqlite.Admin)},
	}
	brokerSchemes = []scheme{
		{name: "nats", example: "nats://host:4222", params: natsParams, openBroker: openNATS},
		{name: "tls", example: "tls://host:4222", params: natsParams, openBroker: openNATS, alias: true},
		{name: "ws", example: "ws://host:80", params: natsParams, openBroker: openNATS, alias: true},
		{name: "wss", example: "wss://host:443", params: natsParams, openBroker: openNATS, alias: true},
	}
)
