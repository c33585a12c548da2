package postgres

import (
	"encoding/binary"
	"errors"
	"math"
	"testing"

	"tidings.example/internal/servertest"
	"tidings.example/relay"
)

// TestUndecodableRowsAreSetAsideWhole: with the columns that the log had.
func TestUndecodableRowsAreSetAsideWhole(t *testing.T) {
	t.Parallel()
	db := migratedAt(t, servertest.PostgresSchema(t))
	x, _ := acquired(t, db)
	raw := make([][]byte, columns)
	raw[columnPosition] = make([]byte, 8)
	raw[columnChannel], raw[columnKey], raw[columnHeaders] = []byte("orders"), []byte("k"), []byte("nonsense")
	raw[columnPayload] = []byte{0, 0xff}
	raw[columnCreatedAt] = binary.BigEndian.AppendUint64(nil, math.MaxInt64)
	row := relay.Row{Err: errors.New("column id is NULL"), Raw: raw}
	a := relay.SetAside{Key: relay.HeldKey{Channel: "orders", Key: "k"}, Reason: "bad", Row: &row}
	if err := x.Commit(t.Context(), relay.Change{Reading: relay.FromLog, SetAside: []relay.SetAside{a}}); err != nil {
		t.Fatal(err)
	}
	var whole bool
	err := db.pool.QueryRow(t.Context(), `SELECT id IS NULL AND type IS NULL AND headers = 'nonsense' AND payload = '\x00ff' AND created_at = 'infinity'
		AND position > 0 FROM tidings_outbox_aside WHERE message_key = 'k'`).Scan(&whole)
	if err != nil || !whole {
		t.Errorf("the row is not stored as it was: %v", err)
	}
	rows, err := db.ReadAside(t.Context(), relay.AsideQuery{Key: a.Key, Limit: 5})
	if err != nil || len(rows) != 1 || rows[0].Err == nil {
		t.Errorf("read %+v, %v", rows, err)
	}
}
