package sqlite

import (
	"strings"
	"testing"
)

// TestDefaultsOfOldVersions: services in other languages insert with the SQLite
// that they have, such as the 3.40 of Debian 12, which runs the tables' defaults.
// What it does not know as a modifier of unixepoch gives NULL, and refuses the row.
func TestDefaultsOfOldVersions(t *testing.T) {
	t.Parallel()
	text, err := new(Admin).MigrationSQL()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "--") && strings.Contains(line, "unixepoch") {
			t.Errorf("not every SQLite since 3.35 knows this: %s", line)
		}
	}
}
