package postgres

import (
	"fmt"
	"strings"

	"tidings.example/internal/sqlstore"
	"tidings.example/saga/machine"
)

// Saga and journal are written by one statement, also where a transaction of
// database/sql could not send two at once. The journal is not written where the
// saga is not. Few entries are usual, and a row of parameters for each is
// cheaper than arrays.
var (
	insertJournalSQL = withJournal(insertSagaSQL, 13)
	saveJournalSQL   = withJournal(saveSagaSQL, 14)
)

// The columns of an entry, with their types.
var journalTypes = []string{"integer", "timestamptz", "text", "text", "boolean", "integer", "text", "text", "text"}

// withJournal returns the texts of a statement with so many parameters that
// writes one saga, together with so many entries. They return how many sagas were written.
func withJournal(sql string, params int) func(entries int) string {
	var usual [9]string
	text := func(entries int) string {
		if entries == 0 {
			return fmt.Sprintf("WITH s AS (%s RETURNING 1) SELECT count(*) FROM s", sql)
		}
		var rows strings.Builder
		n := params
		for i := range entries * len(journalTypes) {
			switch {
			case i == 0:
				rows.WriteString("(")
			case i%len(journalTypes) == 0:
				rows.WriteString("), (")
			default:
				rows.WriteString(", ")
			}
			n++
			fmt.Fprintf(&rows, "$%d::%s", n, journalTypes[i%len(journalTypes)])
		}
		return fmt.Sprintf(`WITH s AS (%s RETURNING 1),
	j AS (INSERT INTO tidings_saga_journal (saga_type, saga_id, number, at, what, step, undo, attempt, message_id, message_type, text)
		SELECT $1, $2, e.* FROM s, (VALUES %s)) AS e)
	SELECT count(*) FROM s`, sql, &rows)
	}
	for i := range usual {
		usual[i] = text(i)
	}
	return func(entries int) string {
		if entries < len(usual) {
			return usual[entries]
		}
		return text(entries)
	}
}

// journalArgs adds the entries' parameters.
func journalArgs(args []any, journal []machine.Entry) []any {
	for i := range journal {
		e := sqlstore.FitEntry(journal[i])
		args = append(args, int32(e.Number), e.At, string(e.What), e.Step, e.Undo, int32(e.Attempt), e.Message, e.Type, e.Text)
	}
	return args
}
