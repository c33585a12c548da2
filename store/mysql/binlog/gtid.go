package binlog

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// A gtid names consecutive transactions: on MySQL those from first to last of
// one source; on MariaDB only last counts, which stands for all before it in its
// domain. The zero value names none.
type gtid struct {
	source         string // MySQL: the UUID
	domain, server uint32 // MariaDB
	first, last    uint64
}

// joins tells whether both can be one gtid, g before next.
func (g *gtid) joins(next *gtid) bool {
	if g.source != "" {
		return g.source == next.source && g.last+1 == next.first
	}
	return next.source == "" && g.domain == next.domain
}

// A gtidSet is the set of executed transactions.
type gtidSet struct {
	// domains hold MariaDB's last transaction of each domain; nil on MySQL.
	domains map[uint32]gtid
	// sources hold MySQL's intervals of each source, in order, not touching.
	sources map[string][]interval
}

type interval struct{ first, last uint64 }

func (s *gtidSet) add(g gtid) {
	switch {
	case g.last == 0:
	case s.domains != nil:
		s.domains[g.domain] = g
	default:
		s.sources[g.source] = insertInterval(s.sources[g.source], interval{g.first, g.last})
	}
}

// insertInterval adds what nearly always follows the last one.
func insertInterval(all []interval, n interval) []interval {
	if k := len(all) - 1; k >= 0 && all[k].last+1 == n.first {
		all[k].last = n.last
		return all
	}
	all = append(all, n)
	slices.SortFunc(all, func(a, b interval) int { return cmp.Compare(a.first, b.first) })
	joined := all[:1]
	for _, next := range all[1:] {
		if k := len(joined) - 1; next.first <= joined[k].last+1 {
			joined[k].last = max(joined[k].last, next.last)
		} else {
			joined = append(joined, next)
		}
	}
	return joined
}

func (s *gtidSet) clone() *gtidSet {
	if s == nil {
		return nil
	}
	c := &gtidSet{domains: maps.Clone(s.domains)}
	if s.sources != nil {
		c.sources = make(map[string][]interval, len(s.sources))
		for name, all := range s.sources {
			c.sources[name] = slices.Clone(all)
		}
	}
	return c
}

// String is the form that servers use, without spaces.
func (s *gtidSet) String() string {
	var parts []string
	if s.domains != nil {
		for _, d := range slices.Sorted(maps.Keys(s.domains)) {
			g := s.domains[d]
			parts = append(parts, fmt.Sprintf("%d-%d-%d", g.domain, g.server, g.last))
		}
		return strings.Join(parts, ",")
	}
	for _, name := range slices.Sorted(maps.Keys(s.sources)) {
		part := name
		for _, n := range s.sources[name] {
			part += ":" + strconv.FormatUint(n.first, 10)
			if n.last > n.first {
				part += "-" + strconv.FormatUint(n.last, 10)
			}
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, ",")
}

var errTagged = errors.New("GTIDs with tags are not supported")

// parseSet reads what a server says.
func parseSet(text string, mariadb bool) (*gtidSet, error) {
	s := &gtidSet{}
	if mariadb {
		s.domains = map[uint32]gtid{}
	} else {
		s.sources = map[string][]interval{}
	}
	for part := range strings.SplitSeq(strings.Join(strings.Fields(text), ""), ",") {
		if part == "" {
			continue
		}
		var err error
		if mariadb {
			err = s.parseDomain(part)
		} else {
			err = s.parseSource(part)
		}
		if err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *gtidSet) parseDomain(part string) error {
	var n [3]uint64
	fields := strings.Split(part, "-")
	if len(fields) != 3 {
		return fmt.Errorf("%q is not domain-server-sequence", part)
	}
	for i, size := range []int{32, 32, 64} {
		var err error
		if n[i], err = strconv.ParseUint(fields[i], 10, size); err != nil {
			return fmt.Errorf("%q is not domain-server-sequence", part)
		}
	}
	if n[2] == 0 {
		return fmt.Errorf("%q has the sequence 0", part)
	}
	s.domains[uint32(n[0])] = gtid{domain: uint32(n[0]), server: uint32(n[1]), first: n[2], last: n[2]}
	return nil
}

func (s *gtidSet) parseSource(part string) error {
	fields := strings.Split(part, ":")
	name := strings.ToLower(fields[0])
	if len(name) != 36 || len(fields) < 2 || strings.Trim(name, "0123456789abcdef-") != "" {
		return fmt.Errorf("%q is not uuid:first-last", part)
	}
	for _, field := range fields[1:] {
		if field == "" || field[0] < '0' || field[0] > '9' {
			return errTagged
		}
		a, b, ranged := strings.Cut(field, "-")
		if !ranged {
			b = a
		}
		first, err1 := strconv.ParseUint(a, 10, 63)
		last, err2 := strconv.ParseUint(b, 10, 63)
		if err1 != nil || err2 != nil || first == 0 || last < first {
			return fmt.Errorf("%q is not uuid:first-last", part)
		}
		s.sources[name] = insertInterval(s.sources[name], interval{first, last})
	}
	return nil
}
