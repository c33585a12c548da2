package wal

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pglogrepl"
)

// A position is a place in the log between two rows: every transaction whose
// commit record ends at or before lsn is done, and so are the first rows of the next
// transaction with rows of the outbox.
type position struct {
	lsn  pglogrepl.LSN
	rows uint64
}

func (p position) String() string {
	if p.rows == 0 {
		return p.lsn.String()
	}
	return p.lsn.String() + "+" + strconv.FormatUint(p.rows, 10)
}

// parsePosition reads what String returns, and nothing else.
func parsePosition(text string) (position, error) {
	lsn, rows, within := strings.Cut(text, "+")
	high, low, ok := strings.Cut(lsn, "/")
	var p position
	h, err := strconv.ParseUint(high, 16, 32)
	l, err2 := strconv.ParseUint(low, 16, 32)
	if within && err == nil {
		p.rows, err = strconv.ParseUint(rows, 10, 64)
	}
	p.lsn = pglogrepl.LSN(h<<32 | l)
	if !ok || err != nil || err2 != nil || p.String() != text {
		return position{}, fmt.Errorf("%q is not a position in the log of PostgreSQL, as in 0/16B3748 or 0/16B3748+12", text)
	}
	return p, nil
}
