package machine_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"
	"time"

	"pgregory.net/rapid"

	"tidings.example/saga/machine"
)

// A world is a saga, as a service would run it, and those it talks to. It
// keeps what took effect, so that it can be told at the end whether everything is kept or undone.
type world struct {
	t    *rapid.T
	plan *machine.Plan
	i    machine.Instance
	now  time.Time

	// lanes are commands on their way, in order for each step; a saga's messages
	// overtake none of the same lane.
	lanes map[string][]machine.Send
	// memory is what participants have answered for good, by command.
	memory map[machine.Send]bool
	// mail is on its way back, in no order.
	mail []machine.Happening
	// children are child sagas, by step and attempt.
	children map[childKey]machine.State
	// sent are the steps that were asked to do something; made and undone count effects.
	sent         map[string]bool
	made, undone map[string]int

	journal int
	// ordered is set once an operator has asked for compensation.
	ordered bool
	// kind makes everything succeed.
	kind bool
}

type childKey struct {
	step    string
	attempt int
}

func newWorld(t *rapid.T, p *machine.Plan) *world {
	return &world{t: t, plan: p, now: epoch, lanes: map[string][]machine.Send{}, memory: map[machine.Send]bool{}, children: map[childKey]machine.State{},
		sent: map[string]bool{}, made: map[string]int{}, undone: map[string]int{}}
}

// feed gives an input, and what follows from it in the same transaction.
func (w *world) feed(what machine.Happening) {
	todo := []machine.Happening{what}
	if r, ok := what.(machine.Requested); ok && r.Op == machine.Compensate {
		w.ordered = true
	} else if ok && r.Op == machine.Skip && r.Success {
		// The operator says that it is done, whoever did it.
		for _, name := range machine.At(w.plan, &w.i) {
			w.sent[name] = true
		}
	}
	for len(todo) > 0 {
		outputs := w.advance(todo[0])
		todo = todo[1:]
		questions := 0
		for _, o := range outputs {
			switch o.(type) {
			case machine.RunLocal, machine.Decide:
				questions++
			}
			if answer := w.carry(o); answer != nil {
				todo = append(todo, answer)
			}
		}
		if questions > 1 {
			w.t.Fatalf("%d questions at once: %v", questions, outputs)
		}
	}
	// What was asked has been answered: nothing may be due that has passed, once it was woken.
	if _, ok := what.(machine.Woken); ok {
		if next := machine.Next(w.plan, &w.i); !next.IsZero() && !next.After(w.now) {
			w.t.Fatalf("woken at %v, and due at %v again: %+v", w.now, next, w.i)
		}
	}
}

// advance advances, and checks what must hold for every call.
func (w *world) advance(what machine.Happening) []machine.Output {
	input := machine.Input{At: w.now, Jitter: float64(rapid.IntRange(0, 4).Draw(w.t, "jitter")) / 4, What: what}
	before := encode(w.t, w.i)
	i, outputs := machine.Advance(w.plan, w.i, input)
	// The process is killed before it commits, and another does it again.
	i2, outputs2 := machine.Advance(w.plan, w.i, input)
	if !reflect.DeepEqual(i, i2) || !reflect.DeepEqual(outputs, outputs2) {
		w.t.Fatalf("%#v: not the same twice:\n%+v %v\n%+v %v", what, i, outputs, i2, outputs2)
	}
	if after := encode(w.t, w.i); !bytes.Equal(before, after) {
		w.t.Fatalf("%#v changed the instance that it was given:\n%s\n%s", what, before, after)
	}
	// It is stored, and loaded again.
	w.i = machine.Instance{}
	if err := json.Unmarshal(encode(w.t, i), &w.i); err != nil {
		w.t.Fatal(err)
	}
	if !bytes.Equal(encode(w.t, i), encode(w.t, w.i)) {
		w.t.Fatalf("changed by being stored: %+v, %+v", i, w.i)
	}
	for _, o := range outputs {
		if r, ok := o.(machine.Record); ok {
			if w.journal++; r.Entry.Number != w.journal {
				w.t.Fatalf("journal entry %d has number %d", w.journal, r.Entry.Number)
			}
		}
	}
	if w.i.Journal != w.journal {
		w.t.Fatalf("%d journal entries, and the instance says %d", w.journal, w.i.Journal)
	}
	return outputs
}

func encode(t *rapid.T, i machine.Instance) []byte {
	b, err := json.Marshal(i)
	if err != nil {
		t.Fatalf("%+v: %v", i, err)
	}
	return b
}

// carry does what an output asks for, and returns what it came to if that is known at once.
func (w *world) carry(o machine.Output) machine.Happening {
	switch o := o.(type) {
	case machine.Decide:
		return machine.Answered{Step: o.Step, Holds: rapid.IntRange(0, 3).Draw(w.t, o.Step+" holds") > 0,
			Until: w.now.Add(time.Duration(rapid.IntRange(-1, 3).Draw(w.t, o.Step+" until")) * time.Second)}
	case machine.RunLocal:
		return w.runLocal(o)
	case machine.Send:
		w.checkUndo(o.Token.Step, o.Token.Undo, o.Token.Attempt)
		w.sent[o.Token.Step] = true
		w.lanes[o.Token.Step] = append(w.lanes[o.Token.Step], o)
	case machine.StartChild:
		key := childKey{o.Step, o.Attempt}
		if _, ok := w.children[key]; ok {
			w.t.Fatalf("child %v started twice", key)
		}
		w.sent[o.Step] = true
		w.children[key] = machine.Running
		if rapid.IntRange(0, 3).Draw(w.t, "child is quick") == 0 {
			return w.endChild(key)
		}
	case machine.UndoChild:
		w.checkUndo(o.Step, true, 1)
		return w.undoChild(childKey{o.Step, o.Attempt})
	}
	return nil
}

// runLocal runs a local step or compensation, in the transaction, which is
// rolled back where it fails: then it has no effect.
func (w *world) runLocal(o machine.RunLocal) machine.Happening {
	if o.Undo {
		w.checkUndo(o.Step, true, w.i.Steps[o.Step].Attempt)
	}
	result := 0
	if !w.kind {
		result = rapid.SampledFrom([]int{0, 0, 0, 1, 2}).Draw(w.t, o.Step+" runs")
	}
	switch {
	case result != 0:
		return machine.Ran{Step: o.Step, Undo: o.Undo, Error: "no", Refused: result == 2}
	case o.Undo:
		w.undoEffect(o.Step)
	default:
		w.sent[o.Step] = true
		w.made[o.Step]++
		if w.made[o.Step] != 1 {
			w.t.Fatalf("local step %s ran %d times", o.Step, w.made[o.Step])
		}
	}
	return machine.Ran{Step: o.Step, Undo: o.Undo}
}

// undoEffect undoes what a step did, unless it is undone already, or was never done.
func (w *world) undoEffect(step string) {
	for _, sent := range w.lanes[step] {
		if !sent.Token.Undo && w.plan.Find(step).Compensation == machine.Local {
			// A local compensation overtakes the command; those who write such a saga
			// see to it that the command then has no effect. So it is with us.
			w.lanes[step] = slices.DeleteFunc(slices.Clone(w.lanes[step]), func(s machine.Send) bool { return !s.Token.Undo })
			break
		}
	}
	if w.made[step] > w.undone[step] {
		w.undone[step]++
	}
}

// checkUndo checks that an undo is not begun before its time.
func (w *world) checkUndo(step string, undo bool, attempt int) {
	if !undo {
		return
	}
	if !w.sent[step] {
		w.t.Fatalf("%s is undone, and was never begun", step)
	}
	if attempt != 1 || w.i.Steps[step].Lost {
		return
	}
	for name, st := range w.i.Steps {
		behind := w.place(name) > w.place(step)
		open := st.Phase == machine.Unknown || st.Phase == machine.Undoing || st.Phase == machine.UndoBackoff || st.Phase == machine.StuckUndo ||
			st.Phase == machine.Done && w.plan.Find(name).Compensation != ""
		if behind && open {
			w.t.Fatalf("%s is undone before %s, which is %s", step, name, st.Phase)
		}
	}
}

func (w *world) place(name string) int {
	return slices.IndexFunc(w.plan.Steps, func(s machine.Step) bool {
		return s.Name == name || slices.ContainsFunc(s.Members, func(m machine.Step) bool { return m.Name == name })
	})
}
