package sqlite

import (
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"time"
)

// Config says which file to open, and how.
type Config struct {
	// Path is the database file; it is created if it does not exist, its
	// directory is not. Either Path or URL is required.
	Path string
	// URL is sqlite:///absolute/path or sqlite:relative/path, with optional
	// parameters: synchronous, busy_timeout. They count more than the fields.
	URL string
	// Synchronous is "normal" (the default) or "full"; see the package's
	// documentation for what a power failure may take with each.
	Synchronous string
	// BusyTimeout is how long a write transaction waits for others. Default 5 s.
	BusyTimeout time.Duration
	// MaxPayload bounds payloads of appended messages, in bytes. Default
	// outbox.DefaultMaxPayload.
	MaxPayload int
}

// normalize fills in defaults and returns an error naming the setting that is wrong.
func (c *Config) normalize() error {
	if c.URL != "" {
		if c.Path != "" {
			return fmt.Errorf("both Path and URL are set: give one")
		}
		if err := c.parseURL(); err != nil {
			return err
		}
	}
	if c.Synchronous == "" {
		c.Synchronous = "normal"
	}
	if c.BusyTimeout == 0 {
		c.BusyTimeout = 5 * time.Second
	}
	switch {
	case c.Path == "":
		return fmt.Errorf("path is empty: give the file's path, as in sqlite:///var/lib/app/orders.db")
	case strings.Contains(c.Path, ":memory:"):
		return fmt.Errorf("path is %q: a database in memory cannot be shared by connections; give a file", c.Path)
	case c.Synchronous != "normal" && c.Synchronous != "full":
		return fmt.Errorf("synchronous is %q: use normal or full", c.Synchronous)
	case c.BusyTimeout < 0:
		return fmt.Errorf("busy_timeout is %s: it must be positive", c.BusyTimeout)
	}
	path, err := filepath.Abs(c.Path)
	if err != nil {
		return fmt.Errorf("make path %q absolute: %w", c.Path, err)
	}
	c.Path = path
	return nil
}

func (c *Config) parseURL() error {
	u, err := url.Parse(c.URL)
	if err != nil {
		return fmt.Errorf("URL is not valid: %w", err)
	}
	if u.Scheme != "sqlite" {
		return fmt.Errorf("URL scheme is %q: use sqlite:///path", u.Scheme)
	}
	if u.Host != "" || u.User != nil {
		return fmt.Errorf("URL has a host %q: use sqlite:///absolute/path or sqlite:relative/path", u.Host)
	}
	if c.Path = u.Path; u.Opaque != "" {
		if c.Path, err = url.PathUnescape(u.Opaque); err != nil {
			return fmt.Errorf("URL path is not valid: %w", err)
		}
	}
	values, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return fmt.Errorf("URL parameters are not valid: %w", err)
	}
	for name, vs := range values {
		if err := c.set(name, vs[len(vs)-1]); err != nil {
			return err
		}
	}
	return nil
}

func (c *Config) set(name, value string) error {
	switch name {
	case "synchronous":
		c.Synchronous = strings.ToLower(value)
	case "busy_timeout":
		d, err := time.ParseDuration(value)
		if err != nil {
			return fmt.Errorf("URL parameter busy_timeout is %q: give a duration, as in 5s", value)
		}
		c.BusyTimeout = d
	default:
		return fmt.Errorf("URL parameter %q is unknown: use synchronous or busy_timeout", name)
	}
	return nil
}

// dsn is the name that the driver opens. As a URI, so that '?' and '%' in the
// path are no parameters.
func (c *Config) dsn() string {
	u := url.URL{Scheme: "file", Path: filepath.ToSlash(c.Path)}
	q := url.Values{}
	q.Set("_txlock", "immediate")
	q.Set("_busy_timeout", fmt.Sprint(c.BusyTimeout.Milliseconds()))
	q.Set("_synchronous", c.Synchronous)
	q.Set("_foreign_keys", "on")
	q.Set("_error_rc", "true")
	// A burst of unpublished rows grows the WAL; this gives the space back.
	q.Add("_pragma", "journal_size_limit(67108864)")
	u.RawQuery = q.Encode()
	return u.String()
}
