package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode"

	"tidings.example/admin"
	"tidings.example/saga/machine"
)

// FuzzShownSaga looks for what a database may hold, and services may write into
// it, that stops the command, moves the terminal's cursor or makes bad JSON.
func FuzzShownSaga(f *testing.F) {
	f.Add([]byte(`{"order":"1"}`), []byte(`{"state":"stuck","steps":{"a":{"phase":"stuck","attempt":3,"due":"2026-01-01T00:00:00Z","error":"no"}},"locking":[{"name":"x"}],"parent":{"type":"t","id":"i","step":"s"}}`),
		[]byte(`{"name":"t","steps":[{"name":"a","kind":"group","join":"all","members":[{"name":"b","kind":"command","type":"C","participant":"p"}]}]}`), "text")
	f.Add([]byte("\x1b[2J"), []byte(`{"steps":{"\u001b[2J":{}}}`), []byte(`{"steps":[{"name":"\u001b","members":[{}]}]}`), "\x1b]0;x\a\r\n\t")
	f.Add([]byte(nil), []byte(`[]`), []byte(`null`), "\xff\u202e")
	f.Fuzz(func(t *testing.T, data, instance, plan []byte, text string) {
		now := time.Now()
		s := &shownSaga{saga: admin.Saga{Type: text, ID: text, State: text, Step: text, Error: text, Fingerprint: text, Data: data, Instance: instance, Started: now, Changed: now},
			journal: []admin.SagaEntry{{Number: 1, At: now.Add(-time.Hour), What: text, Step: text, Undo: true, Attempt: 2, Type: text, Text: text}}}
		_ = json.Unmarshal(instance, &s.instance)
		var p machine.Plan
		if json.Unmarshal(plan, &p) == nil {
			s.plan = &p
		}
		var out bytes.Buffer
		a := &app{stdout: &out}
		if err := a.printSaga(s); err != nil {
			t.Fatal(err)
		}
		if i := strings.IndexFunc(out.String(), func(r rune) bool { return !unicode.IsPrint(r) && r != '\n' && r != '\t' }); i >= 0 {
			t.Errorf("%q is printed", out.String()[i:min(i+10, out.Len())])
		}
		out.Reset()
		if err := writeJSON(&out, s.json(now)); err != nil || !json.Valid(out.Bytes()) {
			t.Errorf("as JSON: %v\n%s", err, out.String())
		}
	})
}
