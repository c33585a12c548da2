package mysql

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	driver "github.com/go-sql-driver/mysql"
)

// Config says which database to use, and how.
type Config struct {
	// URL is mysql://user:password@host:3306/database, or mariadb://...; user
	// and password percent-encoded. Required. Parameters:
	//
	//	tls       false (the default), true, skip-verify, or preferred (where the server offers it)
	//	tls-ca    a file with the certificates of the authorities to trust, instead of the system's
	//	socket    the path of a Unix socket, instead of host and port
	//	timeout   how long connecting may take, default 5s
	//	max-connections  bounds each of the three pools, default 50
	//	append    where messages go: table (the default), delete or log; see Append
	URL string
	// Append is where messages are appended. If empty, the URL's parameter is
	// used, and then AppendTable.
	Append Append
	// MaxPayload bounds payloads of appended messages, in bytes. Default
	// outbox.DefaultMaxPayload.
	MaxPayload int
}

// An Append is a way to append messages in a transaction. The guarantees are the
// same; AppendAndDelete and AppendToLog leave nothing in a table that has to be
// removed later, but their messages can only be read from the server's binary
// log. So Open refuses them unless the outbox is read from the log, and each
// DB asks again once a second: an append fails after a switch to the table. What
// was appended within the second before, or in a transaction that was open during the switch, is lost to
// a relay that reads the table: stop such programs before a switch.
type Append string

// The values of Append.
const (
	// AppendTable inserts into tidings_outbox. The relay removes the rows.
	AppendTable Append = "table"
	// AppendAndDelete inserts into tidings_outbox_log and deletes the rows in
	// the same transaction.
	AppendAndDelete Append = "delete"
	// AppendToLog inserts into tidings_outbox_log where that is a BLACKHOLE
	// table, which keeps nothing.
	AppendToLog Append = "log"
)

// settings are a parsed Config.
type settings struct {
	driver         *driver.Config
	maxConnections int
	append         Append
}

// parse returns an error that names the part of the URL that is wrong, and
// repeats nothing that could be the password.
func (c *Config) parse() (*settings, error) {
	u, err := url.Parse(c.URL)
	switch {
	case c.URL == "":
		return nil, errors.New("URL is empty: give mysql://user:password@host:3306/database")
	case err != nil:
		return nil, errors.New("URL cannot be read: percent-encode special characters in user and password")
	case u.Scheme != "mysql" && u.Scheme != "mariadb":
		return nil, fmt.Errorf("URL scheme is %q: use mysql://user:password@host:3306/database", u.Scheme)
	}
	cfg := driver.NewConfig()
	cfg.User = u.User.Username()
	cfg.Passwd, _ = u.User.Password()
	cfg.Net, cfg.Addr = "tcp", u.Host
	if u.Host != "" && u.Port() == "" {
		cfg.Addr = net.JoinHostPort(u.Hostname(), "3306")
	}
	cfg.DBName = strings.TrimPrefix(u.Path, "/")
	cfg.Timeout = 5 * time.Second
	// One round trip instead of three for a statement with parameters. It is
	// safe with utf8mb4, the only character set that is used here.
	cfg.InterpolateParams = true
	cfg.ParseTime = true
	cfg.Loc = time.UTC
	// After a fail-over a connection may lead to a server that is read-only
	// now: it is closed, and the next one leads to the new primary.
	cfg.RejectReadOnly = true
	// What goes wrong is returned; the driver would also log it.
	cfg.Logger = &driver.NopLogger{}
	s := &settings{driver: cfg, maxConnections: 50, append: AppendTable}
	if err := s.setAll(u); err != nil {
		return nil, err
	}
	if c.Append != "" {
		s.append = c.Append
	}
	switch {
	case s.append != AppendTable && s.append != AppendAndDelete && s.append != AppendToLog:
		return nil, fmt.Errorf("append is %q: use table, delete or log", s.append)
	case cfg.Addr == "":
		return nil, errors.New("URL has no host: give mysql://user:password@host:3306/database")
	case cfg.DBName == "" || strings.Contains(cfg.DBName, "/"):
		return nil, errors.New("URL does not name one database: give mysql://user:password@host:3306/database")
	}
	return s, nil
}

func (s *settings) setAll(u *url.URL) error {
	values, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return errors.New("URL parameters cannot be read: write name=value&name=value, percent-encoded")
	}
	secure, authorities := "false", ""
	for name, all := range values {
		value := all[len(all)-1]
		switch name {
		case "tls":
			secure = strings.ToLower(value)
		case "tls-ca":
			authorities = value
		case "socket":
			s.driver.Net, s.driver.Addr = "unix", value
		case "timeout":
			if s.driver.Timeout, err = time.ParseDuration(value); err != nil || s.driver.Timeout <= 0 {
				return fmt.Errorf("URL parameter timeout is %q: give a duration, as in 5s", value)
			}
		case "max-connections":
			if s.maxConnections, err = strconv.Atoi(value); err != nil || s.maxConnections < 2 {
				return fmt.Errorf("URL parameter max-connections is %q: give a number of at least 2", value)
			}
		case "append":
			s.append = Append(strings.ToLower(value))
		default:
			return fmt.Errorf("URL parameter %q is unknown: use append, tls, tls-ca, socket, timeout or max-connections", name)
		}
	}
	return s.secure(secure, authorities, u.Hostname())
}

func (s *settings) secure(mode, authorities, host string) error {
	switch mode {
	case "false":
		if authorities != "" {
			return errors.New("URL parameter tls-ca needs tls=true")
		}
		return nil
	case "true", "skip-verify", "preferred":
	default:
		return fmt.Errorf("URL parameter tls is %q: use false, true, skip-verify or preferred", mode)
	}
	cfg := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12, InsecureSkipVerify: mode != "true"}
	if authorities != "" {
		text, err := os.ReadFile(authorities)
		if err != nil {
			return fmt.Errorf("URL parameter tls-ca: %w", err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(text) {
			return fmt.Errorf("URL parameter tls-ca: %s holds no certificate in PEM format", authorities)
		}
	}
	s.driver.TLS = cfg
	s.driver.AllowFallbackToPlaintext = mode == "preferred"
	return nil
}

// place is where the database is, for error texts.
func (s *settings) place() string {
	return s.driver.Addr + "/" + s.driver.DBName
}
