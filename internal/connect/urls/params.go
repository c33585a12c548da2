package urls

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"tidings.example/internal/suggest"
)

// Word reads a parameter that takes one of a few words; "" if it is not given.
func (l *Location) Word(name string, allowed ...string) (string, error) {
	value := strings.ToLower(l.Params.Get(name))
	if value != "" && !slices.Contains(allowed, value) {
		meant := ""
		if near := suggest.Nearest(value, allowed); near != "" {
			meant = " (did you mean " + near + "?)"
		}
		return "", Errorf("%s URL: parameter %s is %q%s; it takes %s", l.Scheme, name, shortened(value), meant, strings.Join(allowed, ", "))
	}
	return value, nil
}

// Duration reads a parameter such as 500ms or 5s; 0 if it is not given.
func (l *Location) Duration(name string) (time.Duration, error) {
	value := l.Params.Get(name)
	if value == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(value)
	if err != nil || d <= 0 {
		return 0, Errorf("%s URL: parameter %s is %q; it takes a duration such as 500ms or 5s", l.Scheme, name, shortened(value))
	}
	return d, nil
}

// Number reads a whole number; 0 if it is not given.
func (l *Location) Number(name string, lowest, highest int) (int, error) {
	value := l.Params.Get(name)
	if value == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(value)
	if err != nil || n < lowest || n > highest {
		return 0, Errorf("%s URL: parameter %s is %q; it takes a number from %d to %d", l.Scheme, name, shortened(value), lowest, highest)
	}
	return n, nil
}
