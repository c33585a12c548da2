package urls

import "strings"

// Redact returns a URL as people may see it: without its password and without
// the values of parameters that can be secrets. It takes any text, also one
// that is no URL, and hides too much rather than too little.
func Redact(raw string) string {
	scheme, rest, ok := strings.Cut(raw, ":")
	if !ok {
		return "(not a URL)"
	}
	// A password may contain slashes and question marks that should have been
	// encoded: it ends at the last @ of all.
	if at := strings.LastIndex(rest, "@"); at >= 0 {
		user, _, hasPassword := strings.Cut(strings.TrimPrefix(rest[:at], "//"), ":")
		if hasPassword {
			user += ":xxxxx"
		}
		rest = "//" + user + rest[at:]
	}
	rest, query, hasQuery := strings.Cut(rest, "?")
	s := scheme + ":" + rest
	if !hasQuery {
		return s
	}
	params := strings.Split(query, "&")
	for i, p := range params {
		name, _, _ := strings.Cut(p, "=")
		if secret(name) {
			params[i] = name + "=xxxxx"
		}
	}
	return s + "?" + strings.Join(params, "&")
}

// secret tells parameters whose values are not shown.
func secret(name string) bool {
	name = strings.ToLower(name)
	for _, part := range []string{"pass", "secret", "token", "credential", "seed", "nkey"} {
		if strings.Contains(name, part) {
			return true
		}
	}
	return false
}
