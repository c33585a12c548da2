// Package servertest gives tests the real servers that they run against.
//
// scripts/servers starts the servers and names them in the environment. Where a
// variable is not set, the test that asks for that server is skipped and says
// what to run; with TIDINGS_TEST_REQUIRE=1 it fails instead, so that a complete
// run cannot pass by leaving something out.
//
// Servers are shared by all packages that are tested at the same time. A test
// takes a schema or database of its own from [PostgresSchema], [PostgresDatabase]
// or [MySQLDatabase], and names its topics and streams so that no other test meets
// them ([Name]). A test that stops or kills a server starts one of its own with
// [Private].
package servertest

import (
	"crypto/rand"
	"os"
	"strings"
	"testing"
)

// requireVariable makes a missing server a failure when it is "1".
const requireVariable = "TIDINGS_TEST_REQUIRE"

// variables holds, for each server, the environment variable with its URL.
// scripts/servers prints the same.
var variables = map[string]string{
	"postgres": "TIDINGS_TEST_POSTGRES",
	"mariadb":  "TIDINGS_TEST_MYSQL",
	"kafka":    "TIDINGS_TEST_KAFKA",
	"nats":     "TIDINGS_TEST_NATS",
}

// Postgres returns the URL of a PostgreSQL server, for a superuser, as in
// postgres://user:password@host:port/database?sslmode=disable.
func Postgres(t testing.TB) string {
	t.Helper()
	return fromEnvironment(t, "postgres")
}

// MySQL returns the URL of a MariaDB or MySQL server, for a user with all
// privileges, as in mysql://user:password@host:port/.
func MySQL(t testing.TB) string {
	t.Helper()
	return fromEnvironment(t, "mariadb")
}

// Kafka returns the URL of a Kafka broker, as in kafka://host:port. The broker
// does not create topics by itself.
func Kafka(t testing.TB) string {
	t.Helper()
	return fromEnvironment(t, "kafka")
}

// NATS returns the URL of a NATS server with JetStream, as in nats://host:port.
func NATS(t testing.TB) string {
	t.Helper()
	return fromEnvironment(t, "nats")
}

// Name returns a name that no other test and no earlier run has used: lower-case
// letters and digits, beginning with prefix and at most 20 characters longer. It
// fits topics, streams, schemas and databases.
func Name(prefix string) string {
	return prefix + "_" + strings.ToLower(rand.Text()[:16])
}

func fromEnvironment(t testing.TB, server string) string {
	t.Helper()
	url := os.Getenv(variables[server])
	if url == "" {
		unavailable(t, variables[server]+" is not set")
	}
	return url
}

// unavailable ends the test for lack of a server.
func unavailable(t testing.TB, why string) {
	t.Helper()
	skipOrFail(t, why+`; run scripts/servers start and eval "$(scripts/servers env)"`)
}

// skipOrFail ends the test: it is skipped, or fails where everything is required.
func skipOrFail(t testing.TB, why string) {
	t.Helper()
	if os.Getenv(requireVariable) == "1" {
		t.Fatal(why)
	}
	t.Skip(why)
}
