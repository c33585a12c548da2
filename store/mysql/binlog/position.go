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
	// a hint, for the lag and for people.
	file string
	at   int64
	// server is whose file it is; only without GTIDs.
	server string
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
//	gtid:<set>@<file>:<offset>[/<columns>][+<rows>]
//	file:<file>:<offset>@<server>[/<columns>][+<rows>]
func (p *position) text() []byte {
	var b strings.Builder
	if p.set != nil {
		b.WriteString("gtid:" + p.set.String() + "@" + p.file + ":" + strconv.FormatInt(p.at, 10))
	} else {
		b.WriteString("file:" + p.file + ":" + strconv.FormatInt(p.at, 10) + "@" + p.server)
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
	left, right, ok := cutLast(s, "@")
	if !ok {
		return fail("no @")
	}
	var at string
	switch {
	case strings.HasPrefix(left, "gtid:"):
		if p.set, err = parseSet(left[len("gtid:"):], mariadb); err != nil {
			return fail("no GTIDs of this server: " + err.Error())
		}
		at = right
	case strings.HasPrefix(left, "file:"):
		at, p.server = left[len("file:"):], right
	default:
		return fail("neither gtid: nor file: in front")
	}
	file, offset, _ := cutLast(at, ":")
	if p.at, err = strconv.ParseInt(offset, 10, 64); err != nil || p.at < 0 || file == "" {
		return fail("no file and offset")
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
