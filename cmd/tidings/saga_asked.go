package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"tidings.example/admin"
	"tidings.example/internal/connect"
	"tidings.example/saga/machine"
)

// asked is what became of a request to one saga.
type asked struct {
	before admin.Saga
	// err is why the request could not be stored, or not be followed.
	err error
	// done is set when the service has dealt with it; then after is the saga, and
	// refused says why nothing was done.
	done    bool
	after   admin.Saga
	refused string
}

type askedJSON struct {
	Type   string `json:"type"`
	ID     string `json:"id"`
	Was    string `json:"was"`
	Stored bool   `json:"stored"`
	Done   bool   `json:"done"`
	// Refused says why the service has not done it.
	Refused string `json:"refused,omitempty"`
	// State and Step are those after that.
	State string `json:"state,omitempty"`
	Step  string `json:"step,omitempty"`
	Error string `json:"error,omitempty"`
}

// ask stores the request for each of the sagas; one that cannot be asked does
// not keep the others from it.
func (c *sagaChange) ask(ctx context.Context, db *connect.Database, sagas []admin.Saga, action admin.Action) []asked {
	all := make([]asked, len(sagas))
	for i := range sagas {
		all[i].before = sagas[i]
		all[i].err = c.askOne(ctx, db, &all[i].before, action)
	}
	return all
}

func (c *sagaChange) askOne(ctx context.Context, db *connect.Database, s *admin.Saga, action admin.Action) error {
	body, err := json.Marshal(c.request)
	if err != nil {
		return err
	}
	// Where the journal ended before tells afterwards what is new in it.
	now, err := db.Admin.GetSaga(ctx, s.Type, s.ID)
	if err != nil {
		return err
	}
	*s = now
	return db.Admin.RequestSaga(ctx, s.Type, s.ID, string(c.op), body, action)
}

// finish waits for the service, and says what has become of the requests.
func (c *sagaChange) finish(ctx context.Context, db *connect.Database, all []asked) error {
	stored, failed, refused := 0, 0, 0
	for i := range all {
		if all[i].err != nil {
			failed++
		} else {
			stored++
		}
	}
	if c.output.value != "json" && stored > 0 {
		fmt.Fprintf(c.app.stdout, "Asked to %s %s.\n", c.what(), count(int64(stored), "saga", "sagas"))
	}
	waiting := stored
	var interrupted error
	for deadline := time.Now().Add(c.wait); waiting > 0 && c.wait > 0; {
		waiting = 0
		for i := range all {
			if all[i].err == nil && !all[i].done {
				all[i].follow(ctx, db)
				switch {
				case !all[i].done:
					waiting++
				case all[i].refused != "":
					refused++
				}
			}
		}
		if waiting == 0 || !time.Now().Before(deadline) {
			break
		}
		if interrupted = waitOr(ctx, 100*time.Millisecond); interrupted != nil {
			break
		}
	}
	if err := c.printAsked(all); err != nil {
		return err
	}
	switch {
	case failed > 0:
		return fmt.Errorf("%d of %s could not be asked", failed, count(int64(len(all)), "saga", "sagas"))
	case interrupted != nil:
		return interrupted
	case refused > 0:
		return negativef("%s refused by the service", were(refused, len(all)))
	case waiting > 0 && c.wait > 0:
		return negativef("%s not carried out within %s: the service does it when it runs; see tidings saga show",
			were(waiting, len(all)), span(c.wait))
	}
	return nil
}

func were(n, of int) string {
	if of == 1 {
		return "the request was"
	}
	return fmt.Sprintf("%d of %d requests were", n, of)
}

// follow looks whether the service has carried a request out. What cannot be read now is looked
// at again.
func (q *asked) follow(ctx context.Context, db *connect.Database) {
	s, err := db.Admin.GetSaga(ctx, q.before.Type, q.before.ID)
	if err != nil || s.Requested {
		return
	}
	q.done, q.after = true, s
	var before sagaInstance
	if json.Unmarshal(q.before.Instance, &before) != nil {
		return
	}
	entries, err := db.Admin.SagaJournal(ctx, s.Type, s.ID, before.Journal, 100)
	if err != nil {
		return
	}
	for _, e := range entries {
		if _, why, refused := strings.Cut(e.Text, refusedMark); refused && e.What == string(machine.OccurredOperator) {
			q.refused = why
		}
	}
}

// refusedMark stands in a journal before the reason why nothing was done.
const refusedMark = "; refused: "

func (c *sagaChange) printAsked(all []asked) error {
	if c.output.value == "json" {
		list := make([]askedJSON, len(all))
		for i := range all {
			list[i] = all[i].json()
		}
		return writeJSON(c.app.stdout, map[string]any{"asked": list})
	}
	for i := range all {
		q := &all[i]
		switch {
		case q.err != nil:
			fmt.Fprintf(c.app.stdout, "%s: not asked: %s\n", printable(sagaName(&q.before)), oneLine(q.err))
		case q.done:
			fmt.Fprintf(c.app.stdout, "%s: %s\n", printable(sagaName(&q.before)), printable(q.outcome()))
		case c.wait > 0:
			fmt.Fprintf(c.app.stdout, "%s: waits for its service\n", printable(sagaName(&q.before)))
		}
	}
	return nil
}

// outcome is the saga's state after the request, and before.
func (q *asked) outcome() string {
	text := q.after.State
	if q.after.Step != "" {
		text += " at " + q.after.Step
	}
	if q.before.State != q.after.State {
		text += ", was " + q.before.State
	}
	if q.refused != "" {
		return "refused: " + q.refused + "; it is " + text
	}
	return text
}

func (q *asked) json() askedJSON {
	j := askedJSON{Type: q.before.Type, ID: q.before.ID, Was: q.before.State, Stored: q.err == nil, Done: q.done && q.refused == "", Refused: q.refused}
	if q.done {
		j.State, j.Step = q.after.State, q.after.Step
	}
	if q.err != nil {
		j.Error = oneLine(q.err)
	}
	return j
}
