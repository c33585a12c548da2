//go:build !unix

package sqlite

// identity says nothing of the file where the system has no inodes: a restored
// backup is then noticed only by the inboxes, as messages that are younger than
// their number.
func identity(string) (string, error) { return "sqlite", nil }
