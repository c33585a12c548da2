package machine_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"tidings.example/saga/machine"
)

// FuzzAdvance gives any inputs to any instance of any plan: nothing may panic or go
// on for ever, and what comes out can be stored.
func FuzzAdvance(f *testing.F) {
	plan := machine.Plan{Name: "p", Timeout: time.Hour, Steps: []machine.Step{
		{Name: "a", Kind: machine.Local, Compensation: machine.Local},
		{Name: "b", Kind: machine.Group, Join: machine.First, Members: []machine.Step{
			{Name: "c", Kind: machine.Command, Compensation: machine.Command, Timeout: time.Minute},
			{Name: "d", Kind: machine.Saga, Compensation: machine.Saga, Conditional: true},
		}},
		{Name: "e", Kind: machine.Event, Pivot: true},
		{Name: "f", Kind: machine.Wait},
		{Name: "g", Kind: machine.Notify},
	}}
	encoded, err := json.Marshal(plan)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(encoded, []byte(`{}`), []byte{0, 0, 0, 1, 0, 0, 3, 1, 1, 6, 6, 6})
	f.Add(encoded, []byte(`{"state":"running","steps":{"c":{"phase":"active","attempt":1,"open":[1]},"b":{"phase":"active"}}}`), []byte{3, 2, 0, 8, 2, 1, 5, 3, 1})
	f.Add(encoded, []byte(`{"state":"stuck","back":true,"done":["a","a","x"],"steps":{"x":{"phase":"stuck-undo"},"a":{"phase":"undo-backoff","due":"2026-01-01T00:00:00Z"}}}`), []byte{8, 0, 0, 8, 1, 1, 6, 0, 0})
	f.Add([]byte(`{}`), []byte(`null`), []byte{0, 0, 0})
	f.Fuzz(func(t *testing.T, planJSON, instance, inputs []byte) {
		var p machine.Plan
		var i machine.Instance
		if json.Unmarshal(planJSON, &p) != nil || json.Unmarshal(instance, &i) != nil || len(inputs) > 300 || len(planJSON) > 5000 || len(instance) > 5000 {
			return
		}
		names := append(stepNames(&p), "nobody")
		for name := range i.Steps {
			names = append(names, name)
		}
		for at := int64(1_700_000_000); len(inputs) >= 3; inputs = inputs[3:] {
			what := happening(inputs[0], names[int(inputs[1])%len(names)], inputs[2])
			at += int64(int8(inputs[2])) << (inputs[1] % 48)
			input := machine.Input{At: time.Unix(at, 0), Jitter: float64(inputs[2]) / 100, What: what}
			next, outputs := machine.Advance(&p, i, input)
			if why := fuzzed(&p, i, next, input, outputs); why != "" {
				t.Fatal(why)
			}
			i = next
		}
	})
}

// fuzzed says what is wrong with a result; nothing where all is well.
func fuzzed(p *machine.Plan, in, out machine.Instance, input machine.Input, outputs []machine.Output) string {
	again, outputs2 := machine.Advance(p, in, input)
	if !reflect.DeepEqual(out, again) || !reflect.DeepEqual(outputs, outputs2) {
		return fmt.Sprintf("not the same twice: %+v, %+v", out, again)
	}
	encoded, err := json.Marshal(out)
	if err != nil {
		return err.Error()
	}
	var stored machine.Instance
	if err := json.Unmarshal(encoded, &stored); err != nil {
		return err.Error()
	}
	number, questions := max(in.Journal, 0), 0
	for _, o := range outputs {
		switch o := o.(type) {
		case machine.Record:
			if number++; o.Entry.Number != number || len(o.Entry.Text) > 4000 {
				return fmt.Sprintf("entry %+v, want number %d", o.Entry, number)
			}
		case machine.RunLocal, machine.Decide:
			questions++
		}
	}
	next := machine.Next(p, &out)
	_, _ = machine.At(p, &out), machine.Continues(p, &out)
	r, ok := input.What.(machine.Requested)
	switch {
	case questions > 1 || len(outputs) > 1000:
		return fmt.Sprintf("%d questions, %d outputs", questions, len(outputs))
	case in.State.Ended() && out.State != in.State && !(ok && r.Parent):
		return fmt.Sprintf("%s became %s by %#v", in.State, out.State, input.What)
	case out.State.Ended() && !next.IsZero():
		return "something is due after the end"
	}
	return ""
}

func happening(kind byte, step string, b byte) machine.Happening {
	states := []machine.State{machine.Completed, machine.Compensated, machine.Failed, machine.Running}
	ops := []machine.Op{machine.RetryNow, machine.Skip, machine.Compensate, machine.Fail, "", "\x00\xff"}
	switch kind % 10 {
	case 0:
		return machine.Started{}
	case 1:
		return machine.Ran{Step: step, Undo: b&1 != 0, Refused: b&2 != 0, Error: string([]byte{b})[:int(b>>2&1)]}
	case 2:
		return machine.Answered{Step: step, Holds: b&1 != 0, Until: time.Unix(int64(b)<<(b%50), 0)}
	case 3:
		return machine.Replied{Token: machine.Token{Step: step, Undo: b&1 != 0, Attempt: int(b>>3) - 1}, Success: b&2 != 0, Retryable: b&4 != 0, Error: "\x00\xfe"}
	case 4:
		return machine.Signaled{Step: step}
	case 5:
		return machine.ChildEnded{Step: step, Attempt: int(b >> 4), State: states[b%4]}
	case 6:
		return machine.Woken{}
	case 7:
		return machine.Undecodable{Error: string([]byte{b})}
	case 8:
		return machine.Requested{Op: ops[int(b>>2)%len(ops)], Step: step[:len(step)*int(b>>1&1)], Success: b&1 != 0, Parent: b>>7 != 0}
	}
	return nil
}

// FuzzParseToken reads any header. What is read is written the same.
func FuzzParseToken(f *testing.F) {
	for _, s := range []string{"a/1", "reserve-credit/12/undo", "a.b_c-D9/1000000000/undo", "a/0", "/1", "a/01", "a/1/undo/undo", "a/1/", "a b/1", "a/+1", "ä/1", "a/99999999999999999999"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		token, err := machine.ParseToken(s)
		if err != nil {
			if token != (machine.Token{}) {
				t.Fatalf("%q: %v, and an error", s, token)
			}
			return
		}
		if token.String() != s || token.Attempt < 1 || token.Step == "" || len(token.Step) > 200 {
			t.Fatalf("%q is read as %#v and written as %q", s, token, token)
		}
	})
}

// FuzzDraw draws any plan: no name or type of a message breaks out of its label.
func FuzzDraw(f *testing.F) {
	files, err := filepath.Glob("testdata/draw/*.json")
	if err != nil || len(files) == 0 {
		f.Fatalf("no plans: %v", err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var p machine.Plan
		if len(b) > 5000 || json.Unmarshal(b, &p) != nil {
			return
		}
		_ = p.Validate()
		_ = p.Fingerprint()
		checkDrawing(t, &p)
	})
}
