package connect

import (
	"context"
	"fmt"
	"regexp"

	"tidings.example/internal/connect/urls"
)

// databaseName is what a name must look like that is written into a statement.
var databaseName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,47}$`)

// EnsureDatabase creates a database on the PostgreSQL, MySQL or MariaDB server
// that a URL names, unless it is there, and returns the URL of that database.
// The path of the URL given is the database to connect to for that; it may be
// missing. Its errors are like those of [OpenDatabase].
func EnsureDatabase(ctx context.Context, serverURL, name string, o Options) (string, error) {
	if !databaseName.MatchString(name) {
		return "", fmt.Errorf("create database: the name %q is not made of lower-case letters, digits and _", name)
	}
	l, err := urls.Database(serverURL)
	if err != nil {
		return "", err
	}
	if l.Spec.File {
		return "", urls.Errorf("%s URL names a file, not a server; write it as in postgres://user:password@host or mysql://user:password@host", l.Scheme)
	}
	o.withDefaults()
	via := l
	if via.Path == "" {
		via.Path = l.Spec.Maintenance
	}
	via.Raw = via.WithPath(via.Path)
	server, err := databaseOpeners[l.Spec.Kind](ctx, via, o)
	if err != nil {
		return "", err
	}
	err = ensureDatabase(ctx, server, name)
	if e := server.Close(); err == nil {
		err = e
	}
	if err != nil {
		return "", fmt.Errorf("create database %s at %s: %w; create it by hand, or let the user create databases", name, Redact(l.Raw), err)
	}
	return l.WithPath(name), nil
}

// The name is checked and needs no quotes that could be broken out of.
func ensureDatabase(ctx context.Context, server *Database, name string) error {
	if server.Kind == "mysql" {
		_, err := server.SQL.ExecContext(ctx, "CREATE DATABASE IF NOT EXISTS `"+name+"` CHARACTER SET utf8mb4")
		return err
	}
	var there bool
	err := server.SQL.QueryRowContext(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name).Scan(&there)
	if err == nil && !there {
		_, err = server.SQL.ExecContext(ctx, `CREATE DATABASE "`+name+`"`)
	}
	return err
}
