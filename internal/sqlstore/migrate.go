package sqlstore

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"tidings.example/admin"
)

// PendingError says which migrations are missing; nil if all are applied.
func PendingError(all []admin.Migration) error {
	var missing []string
	for _, m := range all {
		if m.AppliedAt.IsZero() {
			missing = append(missing, m.Name)
		}
	}
	switch len(missing) {
	case 0:
		return nil
	case len(all):
		return errors.New("the tables of Tidings are missing: run the migrations (tidings migrate up, or DB.Migrate)")
	}
	return fmt.Errorf("migrations are pending (%s): run them (tidings migrate up, or DB.Migrate)", strings.Join(missing, ", "))
}

// Tables are those of every SQL store.
var Tables = []string{
	"tidings_outbox", "tidings_outbox_aside", "tidings_relay", "tidings_relay_counters", "tidings_relay_plan",
	"tidings_relay_epoch", "tidings_inbox_lane", "tidings_inbox_seen", "tidings_inbox_held", "tidings_inbox_parked",
	"tidings_audit",
	"tidings_saga", "tidings_saga_journal", "tidings_saga_plan", "tidings_timer",
	"tidings_command_lock", "tidings_command_aside", "tidings_command_answer", "tidings_reply",
}

// MissingTables returns an error that names the wanted tables that do not
// exist, though the migrations were applied.
func MissingTables(wanted, existing []string) error {
	var missing []string
	for _, name := range wanted {
		if !slices.Contains(existing, name) {
			missing = append(missing, name)
		}
	}
	switch len(missing) {
	case 0:
		return nil
	case 1:
		return fmt.Errorf("the table %s is missing though its migration was applied: restore it, or make it with the SQL of tidings migrate --print", missing[0])
	}
	return fmt.Errorf("the tables %s are missing though their migrations were applied: restore them, or make them with the SQL of tidings migrate --print",
		strings.Join(missing, ", "))
}
