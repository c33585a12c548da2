package main

import (
	"context"
	"encoding/json"
	"fmt"
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
	// done is set when the service has carried it out; then after is the saga, and
	// note what the service has written into the journal about it.
	done  bool
	after admin.Saga
	note  string
}

type askedJSON struct {
	Type   string `json:"type"`
	ID     string `json:"id"`
	Was    string `json:"was"`
	Stored bool   `json:"stored"`
	Done   bool   `json:"done"`
	// State and Step are those after the request was carried out.
	State string `json:"state,omitempty"`
	Step  string `json:"step,omitempty"`
	Note  string `json:"note,omitempty"`
	Error string `json:"error,omitempty"`
}

// ask stores the request for each of the sagas; one that cannot be asked does
// not keep the others from it.
func (c *sagaChange) ask(ctx context.Context, db *connect.Database, sagas []admin.Saga, action admin.Action) []asked {
	all := make([]asked, len(sagas))
	body, err := json.Marshal(c.request)
	for i := range sagas {
		all[i] = asked{before: sagas[i], err: err}
		if err == nil {
			all[i].err = db.Admin.RequestSaga(ctx, sagas[i].Type, sagas[i].ID, string(c.op), body, action)
		}
	}
	return all
}

// finish waits for the service, and says what has become of the requests.
func (c *sagaChange) finish(ctx context.Context, db *connect.Database, all []asked) error {
	stored, failed := 0, 0
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
				if all[i].follow(ctx, db); !all[i].done {
					waiting++
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
	case waiting > 0 && c.wait > 0:
		return negativef("stored, but %s not carried out within %s: the service does it when it runs; see tidings saga show",
			waits(waiting, len(all)), span(c.wait))
	}
	return nil
}

func waits(n, of int) string {
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
	entries, err := journalEnd(ctx, db, &s)
	if err != nil {
		return
	}
	for _, e := range entries {
		if e.What == string(machine.OccurredOperator) {
			q.note = e.Text
		}
	}
}

// journalEnd returns the last entries of a journal.
func journalEnd(ctx context.Context, db *connect.Database, s *admin.Saga) ([]admin.SagaEntry, error) {
	var at sagaInstance
	if err := json.Unmarshal(s.Instance, &at); err != nil {
		return nil, err
	}
	const last = 20
	return db.Admin.SagaJournal(ctx, s.Type, s.ID, max(at.Journal-last, 0), last)
}

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
	if q.note != "" {
		text += " (" + q.note + ")"
	}
	return text
}

func (q *asked) json() askedJSON {
	j := askedJSON{Type: q.before.Type, ID: q.before.ID, Was: q.before.State, Stored: q.err == nil, Done: q.done, Note: q.note}
	if q.done {
		j.State, j.Step = q.after.State, q.after.Step
	}
	if q.err != nil {
		j.Error = oneLine(q.err)
	}
	return j
}
