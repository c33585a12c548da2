// Package urls reads the URLs that name databases and brokers. It opens nothing
// and imports no driver, so that it is quick to build and to fuzz.
package urls

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"tidings.example/internal/suggest"
)

// An Error says what is wrong with the text of a URL: nothing was tried. Its
// text repeats no part of the URL that could be a secret.
type Error struct{ Problem string }

func (e *Error) Error() string { return e.Problem }

// Errorf returns an [*Error]. The arguments must hold no secret.
func Errorf(format string, args ...any) error {
	return &Error{Problem: fmt.Sprintf(format, args...)}
}

// A Location is a URL in its parts. net/url is not used for the whole: it takes no
// lists of hosts, and its errors repeat passwords.
type Location struct {
	// Raw is the URL with its scheme in lower case.
	Raw, Scheme    string
	Spec           *Scheme
	authority      string // what stands between // and the path, as it was written
	query          string
	User, Password string
	Hosts          []string // host or host:port, at least one unless the scheme names a file
	Path           string
	Params         url.Values
}

// Database reads the URL of a database; its error is an [*Error].
func Database(raw string) (Location, error) { return parse("database", raw, databases) }

// Broker reads the URL of a broker, or of several servers of one; its error is an [*Error].
func Broker(raw string) (Location, error) { return parse("broker", raw, brokers) }

// parse splits a URL whose scheme is one of those of kind, "database" or "broker".
func parse(kind, raw string, schemes []Scheme) (Location, error) {
	raw = strings.TrimSpace(raw)
	name, rest, ok := strings.Cut(raw, ":")
	if !ok || strings.ContainsAny(name, "/@?. ") {
		return Location{}, Errorf("%s URL has no scheme; write it as in %s", kind, examples(schemes))
	}
	name = strings.ToLower(name)
	i := slices.IndexFunc(schemes, func(s Scheme) bool { return s.Name == name })
	if i < 0 {
		return Location{}, unknownScheme(kind, name, schemes)
	}
	l := Location{Raw: name + ":" + rest, Scheme: name, Spec: &schemes[i]}
	rest, query, _ := strings.Cut(rest, "?")
	if err := l.parseParams(query, schemes[i].Params); err != nil {
		return Location{}, err
	}
	if schemes[i].File {
		return l, l.parseFile(rest)
	}
	return l, l.parseServer(rest, schemes[i].Example)
}

func examples(schemes []Scheme) string {
	var all []string
	for _, s := range schemes {
		if !s.Alias {
			all = append(all, s.Example)
		}
	}
	return strings.Join(all, ", ")
}

func unknownScheme(kind, name string, schemes []Scheme) error {
	var names []string
	for _, s := range schemes {
		names = append(names, s.Name)
	}
	for other, theirs := range map[string][]Scheme{"database": databases, "broker": brokers} {
		if other != kind && slices.ContainsFunc(theirs, func(s Scheme) bool { return s.Name == name }) {
			return Errorf("%s URL has the scheme %q, which is a %s's; write it as in %s", kind, name, other, examples(schemes))
		}
	}
	meant := ""
	if near := suggest.Nearest(name, names); near != "" {
		meant = fmt.Sprintf(" (did you mean %q?)", near)
	}
	return Errorf("%s URL has the unknown scheme %q%s; write it as in %s", kind, shortened(name), meant, examples(schemes))
}

// shortened bounds what an error repeats.
func shortened(s string) string {
	if len(s) > 40 {
		return s[:40] + "..."
	}
	return s
}

func (l *Location) parseParams(query string, known []string) error {
	if strings.Contains(query, "@") {
		// Perhaps the rest of a password: repeat none of it.
		return Errorf("%s URL has an @ after the question mark%s", l.Scheme, encodeHint)
	}
	params, err := url.ParseQuery(query)
	if err != nil {
		return Errorf("%s URL: what follows the ? cannot be read; write name=value&name=value and percent-encode special characters", l.Scheme)
	}
	for name, values := range params {
		if !slices.Contains(known, name) {
			meant := ""
			if near := suggest.Nearest(name, known); near != "" {
				meant = fmt.Sprintf(" (did you mean %q?)", near)
			}
			return Errorf("%s URL has the unknown parameter %q%s; known are: %s", l.Scheme, shortened(name), meant, strings.Join(known, ", "))
		}
		if len(values) > 1 {
			return Errorf("%s URL has the parameter %q %d times; give it once", l.Scheme, name, len(values))
		}
	}
	l.Params, l.query = params, query
	return nil
}

// parseFile takes file, /path/file, //path/file and ///path/file, for people
// write all of them; what begins with three slashes is absolute.
func (l *Location) parseFile(rest string) error {
	path, err := url.PathUnescape(strings.TrimPrefix(rest, "//"))
	switch {
	case err != nil:
		return Errorf("%s URL: the path has a %% that begins no escape; write %%25 for it", l.Scheme)
	case path == "" || strings.HasSuffix(path, "/"):
		return Errorf("%s URL names no file; write it as in %s:orders.db or %s:///var/lib/orders.db", l.Scheme, l.Scheme, l.Scheme)
	case path == ":memory:":
		return Errorf("%s URL names a database in memory, which no other connection sees; name a file", l.Scheme)
	case strings.ContainsRune(path, 0):
		return Errorf("%s URL: the path contains a zero byte", l.Scheme)
	}
	l.Path = path
	return nil
}

// encodeHint is for errors about what stands before the path. They repeat
// nothing of it: a password with a special character may be split anywhere.
const encodeHint = "; percent-encode special characters in user and password (@ is %40, / is %2F, : is %3A, ? is %3F, # is %23)"

func (l *Location) parseServer(rest, example string) error {
	rest, ok := strings.CutPrefix(rest, "//")
	if !ok {
		return Errorf("%s URL has no // after the scheme; write it as in %s", l.Scheme, example)
	}
	authority, path, _ := strings.Cut(rest, "/")
	l.authority = authority
	if strings.ContainsAny(rest, "#\\ ") {
		return Errorf("%s URL contains a #, a backslash or a space%s", l.Scheme, encodeHint)
	}
	if strings.Contains(path, "@") {
		return Errorf("%s URL has an @ after the first slash%s", l.Scheme, encodeHint)
	}
	if at := strings.LastIndex(authority, "@"); at >= 0 {
		user, password, _ := strings.Cut(authority[:at], ":")
		var errUser, errPassword error
		l.User, errUser = url.PathUnescape(user)
		l.Password, errPassword = url.PathUnescape(password)
		if errUser != nil || errPassword != nil || strings.Contains(user+password, "@") {
			return Errorf("%s URL: user or password cannot be read%s", l.Scheme, encodeHint)
		}
		authority = authority[at+1:]
	}
	for host := range strings.SplitSeq(authority, ",") {
		if host == "" && (l.Params.Get("socket") != "" || l.Params.Get("host") != "") {
			break // the parameter names the host, or a socket
		}
		if !validHost(host) {
			return Errorf("%s URL: host or port cannot be read; write it as in %s%s", l.Scheme, example, encodeHint)
		}
		l.Hosts = append(l.Hosts, host)
	}
	path, err := url.PathUnescape(path)
	if err != nil {
		return Errorf("%s URL: the path has a %% that begins no escape; write %%25 for it", l.Scheme)
	}
	l.Path = path
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

// WithPath is the URL of a server with another database.
func (l *Location) WithPath(path string) string {
	s := l.Scheme + "://" + l.authority + "/" + path
	if l.query != "" {
		s += "?" + l.query
	}
	return s
}
