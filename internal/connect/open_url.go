package connect

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"tidings.example/internal/suggest"
)

// A URLError says what is wrong with the text of a URL: nothing was tried. Its
// text repeats no part of the URL that could be a secret.
type URLError struct{ Problem string }

func (e *URLError) Error() string { return e.Problem }

func badURL(format string, args ...any) error {
	return &URLError{Problem: fmt.Sprintf(format, args...)}
}

// location is a URL in its parts. net/url is not used for the whole: it takes no
// lists of hosts, and its errors repeat passwords.
type location struct {
	raw, scheme    string
	spec           *scheme
	authority      string // what stands between // and the path, as it was written
	query          string
	user, password string
	hosts          []string // host or host:port, at least one unless the scheme names a file
	path           string
	params         url.Values
}

// parse splits a URL whose scheme is one of those of kind, "database" or "broker".
func parse(kind, raw string, schemes []scheme) (location, error) {
	raw = strings.TrimSpace(raw)
	name, rest, ok := strings.Cut(raw, ":")
	if !ok || strings.ContainsAny(name, "/@?. ") {
		return location{}, badURL("%s URL has no scheme; write it as in %s", kind, examples(schemes))
	}
	name = strings.ToLower(name)
	i := slices.IndexFunc(schemes, func(s scheme) bool { return s.name == name })
	if i < 0 {
		return location{}, unknownScheme(kind, name, schemes)
	}
	l := location{raw: name + ":" + rest, scheme: name, spec: &schemes[i]}
	rest, query, _ := strings.Cut(rest, "?")
	if err := l.parseParams(query, schemes[i].params); err != nil {
		return location{}, err
	}
	if schemes[i].file {
		return l, l.parseFile(rest)
	}
	return l, l.parseServer(rest, schemes[i].example)
}

// scheme is what a URL may begin with, and what it then may hold.
type scheme struct {
	name    string
	kind    string
	example string
	params  []string
	// openDatabase and migrations are set for databases, openBroker for brokers.
	openDatabase func(context.Context, location, Options) (*Database, error)
	migrations   interface{ MigrationSQL() (string, error) }
	openBroker   func(context.Context, location, Options) (*Broker, error)
	// file says that a path follows, not a server.
	file bool
	// maintenance is the database to connect to where another is to be created.
	maintenance string
	// alias schemes are not offered in error texts.
	alias bool
}

func examples(schemes []scheme) string {
	var all []string
	for _, s := range schemes {
		if !s.alias {
			all = append(all, s.example)
		}
	}
	return strings.Join(all, ", ")
}

func unknownScheme(kind, name string, schemes []scheme) error {
	var names []string
	for _, s := range schemes {
		names = append(names, s.name)
	}
	for other, theirs := range map[string][]scheme{"database": databaseSchemes, "broker": brokerSchemes} {
		if other != kind && slices.ContainsFunc(theirs, func(s scheme) bool { return s.name == name }) {
			return badURL("%s URL has the scheme %q, which is a %s's; write it as in %s", kind, name, other, examples(schemes))
		}
	}
	meant := ""
	if near := suggest.Nearest(name, names); near != "" {
		meant = fmt.Sprintf(" (did you mean %q?)", near)
	}
	return badURL("%s URL has the unknown scheme %q%s; write it as in %s", kind, shortened(name), meant, examples(schemes))
}

// shortened bounds what an error repeats.
func shortened(s string) string {
	if len(s) > 40 {
		return s[:40] + "..."
	}
	return s
}

func (l *location) parseParams(query string, known []string) error {
	if strings.Contains(query, "@") {
		// Perhaps the rest of a password: repeat none of it.
		return badURL("%s URL has an @ after the question mark%s", l.scheme, encodeHint)
	}
	params, err := url.ParseQuery(query)
	if err != nil {
		return badURL("%s URL: what follows the ? cannot be read; write name=value&name=value and percent-encode special characters", l.scheme)
	}
	for name, values := range params {
		if !slices.Contains(known, name) {
			meant := ""
			if near := suggest.Nearest(name, known); near != "" {
				meant = fmt.Sprintf(" (did you mean %q?)", near)
			}
			return badURL("%s URL has the unknown parameter %q%s; known are: %s", l.scheme, shortened(name), meant, strings.Join(known, ", "))
		}
		if len(values) > 1 {
			return badURL("%s URL has the parameter %q %d times; give it once", l.scheme, name, len(values))
		}
	}
	l.params, l.query = params, query
	return nil
}

// parseFile takes file, /path/file, //path/file and ///path/file, for people
// write all of them; what begins with three slashes is absolute.
func (l *location) parseFile(rest string) error {
	path, err := url.PathUnescape(strings.TrimPrefix(rest, "//"))
	switch {
	case err != nil:
		return badURL("%s URL: the path has a %% that begins no escape; write %%25 for it", l.scheme)
	case path == "" || strings.HasSuffix(path, "/"):
		return badURL("%s URL names no file; write it as in %s:orders.db or %s:///var/lib/orders.db", l.scheme, l.scheme, l.scheme)
	case path == ":memory:":
		return badURL("%s URL names a database in memory, which no other connection sees; name a file", l.scheme)
	case strings.ContainsRune(path, 0):
		return badURL("%s URL: the path contains a zero byte", l.scheme)
	}
	l.path = path
	return nil
}

// encodeHint is for errors about what stands before the path. They repeat
// nothing of it: a password with a special character may be split anywhere.
const encodeHint = "; percent-encode special characters in user and password (@ is %40, / is %2F, : is %3A, ? is %3F, # is %23)"

func (l *location) parseServer(rest, example string) error {
	rest, ok := strings.CutPrefix(rest, "//")
	if !ok {
		return badURL("%s URL has no // after the scheme; write it as in %s", l.scheme, example)
	}
	authority, path, _ := strings.Cut(rest, "/")
	l.authority = authority
	if strings.ContainsAny(rest, "#\\ ") {
		return badURL("%s URL contains a #, a backslash or a space%s", l.scheme, encodeHint)
	}
	if strings.Contains(path, "@") {
		return badURL("%s URL has an @ after the first slash%s", l.scheme, encodeHint)
	}
	if at := strings.LastIndex(authority, "@"); at >= 0 {
		user, password, _ := strings.Cut(authority[:at], ":")
		var errUser, errPassword error
		l.user, errUser = url.PathUnescape(user)
		l.password, errPassword = url.PathUnescape(password)
		if errUser != nil || errPassword != nil || strings.Contains(user+password, "@") {
			return badURL("%s URL: user or password cannot be read%s", l.scheme, encodeHint)
		}
		authority = authority[at+1:]
	}
	for host := range strings.SplitSeq(authority, ",") {
		if host == "" && (l.params.Get("socket") != "" || l.params.Get("host") != "") {
			break // the parameter names the host, or a socket
		}
		if !validHost(host) {
			return badURL("%s URL: host or port cannot be read; write it as in %s%s", l.scheme, example, encodeHint)
		}
		l.hosts = append(l.hosts, host)
	}
	path, err := url.PathUnescape(path)
	if err != nil {
		return badURL("%s URL: the path has a %% that begins no escape; write %%25 for it", l.scheme)
	}
	l.path = path
	return nil
}

// validHost takes name, name:port, [address] and [address]:port.
func validHost(s string) bool {
	name, port := s, ""
	if strings.HasPrefix(s, "[") {
		end := strings.Index(s, "]")
		if end < 0 {
			return false
		}
		name, port = s[:end+1], s[end+1:]
		if port != "" && !strings.HasPrefix(port, ":") {
			return false
		}
		port = strings.TrimPrefix(port, ":")
	} else if i := strings.IndexByte(s, ':'); i >= 0 {
		name, port = s[:i], s[i+1:]
		if port == "" {
			return false
		}
	}
	if port != "" {
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
			return false
		}
	}
	return name != "" && name != "[]"
}
