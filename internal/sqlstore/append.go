package sqlstore

import "strings"

// Appends recognizes statements that add rows to the outbox, whoever wrote
// them, so that a relay can be woken after the commit.
func Appends(query string) bool {
	if !strings.Contains(query, "tidings_outbox") || strings.Contains(query, "tidings_outbox_aside") {
		return false
	}
	switch strings.ToUpper(FirstWord(query)) {
	case "INSERT", "REPLACE", "WITH":
		return true
	}
	return false
}

// FirstWord returns the first word of a statement, behind a comment.
func FirstWord(query string) string {
	if comment, rest, ok := strings.Cut(query, "*/"); ok && strings.HasPrefix(comment, "/*") {
		query = rest
	}
	query = strings.TrimLeft(query, " \t\r\n")
	for i := range len(query) {
		if c := query[i] | 0x20; c < 'a' || c > 'z' {
			return query[:i]
		}
	}
	return query
}
