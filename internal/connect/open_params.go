package connect

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"tidings.example/internal/suggest"
)

// word reads a parameter that takes one of a few words; "" if it is not given.
func (l *location) word(name string, allowed ...string) (string, error) {
	value := strings.ToLower(l.params.Get(name))
	if value != "" && !slices.Contains(allowed, value) {
		meant := ""
		if near := suggest.Nearest(value, allowed); near != "" {
			meant = " (did you mean " + near + "?)"
		}
		return "", badURL("%s URL: parameter %s is %q%s; it takes %s", l.scheme, name, shortened(value), meant, strings.Join(allowed, ", "))
	}
	return value, nil
}

// duration reads a parameter such as 500ms or 5s; 0 if it is not given.
func (l *location) duration(name string) (time.Duration, error) {
	value := l.params.Get(name)
	if value == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(value)
	if err != nil || d <= 0 {
		return 0, badURL("%s URL: parameter %s is %q; it takes a duration such as 500ms or 5s", l.scheme, name, shortened(value))
	}
	return d, nil
}

// number reads a whole number; 0 if it is not given.
func (l *location) number(name string, lowest, highest int) (int, error) {
	value := l.params.Get(name)
	if value == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(value)
	if err != nil || n < lowest || n > highest {
		return 0, badURL("%s URL: parameter %s is %q; it takes a number from %d to %d", l.scheme, name, shortened(value), lowest, highest)
	}
	return n, nil
}
