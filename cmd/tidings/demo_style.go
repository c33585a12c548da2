package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	customersorders "tidings.example/examples/customers-orders"
	"tidings.example/examples/shared/system"
)

// The styles in which the services of a sample keep consistent.
const (
	choreography  = "choreography"
	orchestration = "orchestration"
)

var styles = []string{choreography, orchestration}

// designOf is the default sample in a style.
func designOf(style string) *system.Design {
	if style == orchestration {
		return customersorders.Orchestrated
	}
	return customersorders.Design
}

// checkStyle fills in the style, and refuses one that the sample does not have.
func (s *demoSettings) checkStyle() error {
	only := s.sample().style
	switch {
	case s.style.value == "":
		s.style.value = choreography
		if only != "" {
			s.style.value = only
		}
	case only != "" && s.style.value != only:
		return usagef("--style %s: the system %s has one style, %s", s.style.value, s.system.value, only)
	}
	return nil
}

// keepStyle refuses to go on in another style on the data of one, in which orders
// would wait for messages that nobody sends. The directory remembers it.
func (d *dataDir) keepStyle(sample, style string) error {
	path := d.file(sample + ".style")
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640)
	if errors.Is(err, fs.ErrExist) {
		kept, err := os.ReadFile(path)
		if err != nil {
			return d.explain("read", err)
		}
		if had := strings.TrimSpace(string(kept)); had != "" && had != style {
			return fmt.Errorf("the data of %s in %s was made with --style %s: use that, or another directory with --dir", sample, d.path, had)
		}
		return nil
	}
	if err != nil {
		return d.explain("write to", err)
	}
	_, err = fmt.Fprintln(f, style)
	if err = errors.Join(err, f.Close()); err != nil {
		return d.explain("write to", err)
	}
	return nil
}
