package sqlite

import (
	"fmt"
	"strings"
	"testing"

	"tidings.example/store/storetest"
)

// fillSagas puts so many sagas that wait, and as many that have ended, into the
// tables, and messages, commands, answers and replies.
const fillSagas = `
CREATE TEMP TABLE n (i INTEGER PRIMARY KEY);
WITH RECURSIVE seq(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM seq WHERE i < %d) INSERT INTO n SELECT i FROM seq;
INSERT INTO tidings_saga (saga_type, id, version, state, step, error, fingerprint, data, instance, wake_at, started_at, changed_at, ended_at)
SELECT 't', i, 1, iif(i %% 2, 'running', 'completed'), '', '', 'f', '{}', '{}', iif(i %% 2, i, NULL), 1, 1, iif(i %% 2, NULL, 1) FROM n;
INSERT INTO tidings_timer (due_at, source, channel, message_id, message_key, type, subject, content_type, payload, epoch, lane, sequence)
SELECT i, '', 'c', i, '', 't', '', '', '', '', 0, 0 FROM n;
INSERT INTO tidings_command_lock (participant, target, saga_type, saga_id, since) SELECT 'p', i, 't', i, 1 FROM n;
INSERT INTO tidings_command_aside (participant, target, at, source, channel, message_id, message_key, type, subject, content_type, payload, epoch, lane, sequence)
SELECT 'p', i, 1, '', 'c', i, '', 't', '', '', '', '', 0, 0 FROM n;
INSERT INTO tidings_command_answer (participant, command_id, at, source, channel, message_id, message_key, type, subject, content_type, payload, epoch, lane, sequence)
SELECT 'p', i, i, '', 'c', i, '', 't', '', '', '', '', 0, 0 FROM n;
INSERT INTO tidings_reply (command_id, at, source, channel, message_id, message_key, type, subject, content_type, payload, epoch, lane, sequence)
SELECT i, i, '', 'c', i, '', 't', '', '', '', '', 0, 0 FROM n`

// TestLookupsUseIndexes: what runs again and again finds its rows by the index that
// is meant for it, reads no table from end to end, and sorts no rows but those that it
// has found.
func TestLookupsUseIndexes(t *testing.T) {
	t.Parallel()
	db := newDB(t)
	ctx := t.Context()
	if _, err := db.sql.ExecContext(ctx, fmt.Sprintf(fillSagas, 20_000)); err != nil {
		t.Fatal(err)
	}
	for _, l := range db.engine().Lookups() {
		rows, err := db.sql.QueryContext(ctx, "EXPLAIN QUERY PLAN "+l.Query, l.Args...)
		if err != nil {
			t.Fatalf("%s: %v", l.What, err)
		}
		found := false
		for rows.Next() {
			var id, parent, unused int
			var detail string
			if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
				t.Fatal(err)
			}
			t.Logf("%s: %s", l.What, detail)
			found = found || strings.Contains(detail, l.Index)
			if strings.HasPrefix(detail, "SCAN tidings_") && !strings.Contains(detail, "INDEX "+l.Index) ||
				strings.Contains(detail, "TEMP B-TREE") && l.What != "broken locks" {
				t.Errorf("%s: %s", l.What, detail)
			}
		}
		if err := rows.Close(); err != nil {
			t.Fatal(err)
		}
		if !found {
			t.Errorf("%s does not use %s", l.What, l.Index)
		}
	}
}

func BenchmarkSagas(b *testing.B) { storetest.BenchSagas(b, subject(newDB(b)), 100_000) }
