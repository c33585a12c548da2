package sqlstore

import (
	"errors"
	"fmt"
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
