package binlog

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// The columns of an outbox row.
const (
	columnPosition = iota
	columnID
	columnChannel
	columnKey
	columnType
	columnSubject
	columnContentType
	columnHeaders
	columnPayload
	columnCreatedAt
	columnCount
)

var columnNames = [columnCount]string{"position", "id", "channel", "message_key", "type", "subject", "content_type",
	"headers", "payload", "created_at"}

// The tables whose rows are read.
const (
	tableOutbox = iota
	tableLog
	tableCount
)

var tableNames = [tableCount]string{"tidings_outbox", "tidings_outbox_log"}

// A layout says where each column is in the rows of a table; -1 where it is
// not. The server's log names columns by their place only, unless
// binlog_row_metadata is FULL. nil is unknown.
type layout *[columnCount]int16

// layouts are those of all tables at one place of the log. They are kept with
// the position, because a table may be altered while nobody reads the log.
type layouts [tableCount]layout

// usual are the tables as the migrations make them.
var usual = layouts{
	&[columnCount]int16{0, 1, 2, 3, 4, 5, 6, 7, 8, 9},
	&[columnCount]int16{0, 1, 2, 3, 4, 5, 6, 7, 8, 9},
}

func usualLayouts() layouts { return usual }

// text is empty for the usual layouts, and else has the places of the columns of
// each table, with a dot between them and a comma between tables: "=" for the usual
// ones, "?" for what is unknown, "-" for a column that is not there.
func (l layouts) text() string {
	var tables []string
	plain := true
	for i, one := range l {
		switch {
		case one == nil:
			tables, plain = append(tables, "?"), false
		case *one == *usual[i]:
			tables = append(tables, "=")
		default:
			var columns []string
			for _, at := range one {
				if at < 0 {
					columns = append(columns, "-")
				} else {
					columns = append(columns, strconv.Itoa(int(at)))
				}
			}
			tables, plain = append(tables, strings.Join(columns, ".")), false
		}
	}
	if plain {
		return ""
	}
	return strings.Join(tables, ",")
}

func parseLayouts(text string) (layouts, error) {
	var l layouts
	tables := strings.Split(text, ",")
	if len(tables) != tableCount {
		return l, fmt.Errorf("%d tables", len(tables))
	}
	for i, table := range tables {
		if table == "?" || table == "=" {
			if table == "=" {
				l[i] = usual[i]
			}
			continue
		}
		columns := strings.Split(table, ".")
		if len(columns) != columnCount {
			return l, fmt.Errorf("%d columns", len(columns))
		}
		var one [columnCount]int16
		for c, column := range columns {
			one[c] = -1
			if column != "-" {
				n, err := strconv.ParseUint(column, 10, 15)
				if err != nil {
					return l, errors.New("a place that is no number")
				}
				one[c] = int16(n)
			}
		}
		l[i] = &one
	}
	return l, nil
}

// layoutOf finds the columns in the names of all columns of a table.
func layoutOf(names []string) layout {
	var l [columnCount]int16
	for i, name := range columnNames {
		l[i] = int16(slices.IndexFunc(names, func(s string) bool { return strings.EqualFold(s, name) }))
	}
	return &l
}
