package suggest

import "testing"

func TestNearest(t *testing.T) {
	t.Parallel()
	schemes := []string{"sqlite", "postgres", "postgresql", "mysql", "mariadb", "kafka", "nats"}
	for _, test := range []struct{ word, want string }{
		{"postgre", "postgres"},
		{"postgers", "postgres"},
		{"Kafak", "kafka"},
		{"nat", "nats"},
		{"mysqll", "mysql"},
		{"maria", "mariadb"},
		{"sqlite3", "sqlite"},
		{"http", ""},
		{"mongodb", ""},
		{"", ""},
	} {
		if got := Nearest(test.word, schemes); got != test.want {
			t.Errorf("Nearest(%q) = %q, want %q", test.word, got, test.want)
		}
	}
}
