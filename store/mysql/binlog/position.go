package binlog

import (
	"fmt"
	"strconv"
	"strings"
)

// A place is a border between two transactions of the log, with what is needed
// to read on from there.
type place struct {
	// set is what was executed up to here; nil where the server has no GTIDs.
	set *gtidSet
	// file and at are the place in the server's own files. With GTIDs they are
	// for the lag, for people, and to begin there at once: a server that looks for
	// GTIDs reads a file from its start.
	file string
	at   int64
	// server is whose file it is, and created when the server began to write it,
	// in seconds since 1970: another file may come to have the same name. Empty and 0 are not known.
	server  string
	created int64
	// columns is how the tables' rows look from here on.
	columns layouts
}

// A position is a place and how many rows of the outbox behind it are done.
type position struct {
	place
	rows int64
}

// text is the form in which a position is saved:
//
//	gtid:<set>@<file>:<offset>[~<created>@<server>][/<columns>][+<rows>]
//	file:<file>:<offset>[~<created>]@<server>[/<columns>][+<rows>]
func (p *position) text() []byte {
	var b strings.Builder
	if p.set != nil {
		b.WriteString("gtid:" + p.set.String() + "@")
	} else {
		b.WriteString("file:")
	}
	b.WriteString(p.file + ":" + strconv.FormatInt(p.at, 10))
	if p.created > 0 {
		b.WriteString("~" + strconv.FormatInt(p.created, 10))
	}
	if p.set == nil || p.created > 0 {
		b.WriteString("@" + p.server)
	}
	if c := p.columns.text(); c != "" {
		b.WriteString("/" + c)
	}
	if p.rows > 0 {
		b.WriteString("+" + strconv.FormatInt(p.rows, 10))
	}
	return []byte(b.String())
}

// parsePosition reverses text. mariadb says which kind of GTIDs it holds.
func parsePosition(text []byte, mariadb bool) (position, error) {
	p := position{place: place{columns: usualLayouts()}}
	s := string(text)
	fail := func(what string) (position, error) {
		return position{}, fmt.Errorf("the saved position %q of the log has %s", text, what)
	}
	var err error
	if rest, n, ok := cutLast(s, "+"); ok {
		if p.rows, err = strconv.ParseInt(n, 10, 64); err != nil || p.rows < 1 {
			return fail("no number of rows behind the +")
		}
		s = rest
	}
	if rest, c, ok := cutLast(s, "/"); ok {
		if p.columns, err = parseLayouts(c); err != nil {
			return fail("wrong columns: " + err.Error())
		}
		s = rest
	}
	named := false
	switch {
	case strings.HasPrefix(s, "gtid:"):
		set, rest, ok := strings.Cut(s[len("gtid:"):], "@")
		if !ok {
			return fail("no @")
		}
		if p.set, err = parseSet(set, mariadb); err != nil {
			return fail("no GTIDs of this server: " + err.Error())
		}
		s = rest
	case strings.HasPrefix(s, "file:"):
		s, named = s[len("file:"):], true
	default:
		return fail("neither gtid: nor file: in front")
	}
	at, server, ok := cutLast(s, "@")
	if ok {
		s, p.server = at, server
	} else if named {
		return fail("no @")
	}
	if rest, n, ok := cutLast(s, "~"); ok {
		if p.created, err = strconv.ParseInt(n, 10, 64); err != nil || p.created < 1 {
			return fail("no time behind the ~")
		}
		s = rest
	}
	file, offset, _ := cutLast(s, ":")
	if p.at, err = strconv.ParseInt(offset, 10, 64); err != nil || p.at < 0 || file == "" {
		return fail("no file and offset")
	}
	if p.created == 0 && p.set != nil {
		p.server = "" // it is worth nothing alone
	}
	p.file = file
	return p, nil
}

func cutLast(s, separator string) (before, after string, found bool) {
	if i := strings.LastIndex(s, separator); i >= 0 {
		return s[:i], s[i+len(separator):], true
	}
	return s, "", false
}
