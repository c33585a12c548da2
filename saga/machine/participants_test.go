package machine_test

import (
	"bytes"
	"maps"
	"slices"

	"pgregory.net/rapid"

	"tidings.example/saga/machine"
)

// handle lets a participant handle the next command of a lane. It does a
// command once: all attempts of one round are answered like the first that was answered for good.
func (w *world) handle(lane string) {
	sent := w.lanes[lane][0]
	token := sent.Token
	w.lanes[lane] = w.lanes[lane][1:]
	if w.plan.Find(lane).Kind == machine.Notify && !token.Undo {
		w.made[lane]++
		return
	}
	id := machine.Send{Token: machine.Token{Step: lane, Undo: token.Undo}, Round: sent.Round}
	success, known := w.memory[id]
	outcome := 0
	if !w.kind && !known {
		outcome = rapid.SampledFrom([]int{0, 0, 0, 1, 2}).Draw(w.t, token.String()+" is handled")
	}
	reply := machine.Replied{Token: token, Success: true}
	switch {
	case known && success:
	case known, outcome != 0:
		reply.Success, reply.Retryable, reply.Error = false, outcome == 1, "no"
	case token.Undo:
		w.undoEffect(lane)
	default:
		w.made[lane]++
	}
	if !reply.Retryable {
		w.memory[id] = reply.Success
	}
	w.mail = append(w.mail, reply)
}

// endChild ends a child saga by itself.
func (w *world) endChild(key childKey) machine.Happening {
	w.children[key] = machine.Completed
	if !w.kind && rapid.IntRange(0, 2).Draw(w.t, "child compensates") == 0 {
		w.children[key] = machine.Compensated
	} else {
		w.made[key.step]++
	}
	return machine.ChildEnded{Step: key.step, Attempt: key.attempt, State: w.children[key]}
}

func (w *world) undoChild(key childKey) machine.Happening {
	switch w.children[key] {
	case machine.Completed:
		w.undone[key.step]++
	case "":
		w.t.Fatalf("child %v is undone, and was never started", key)
	}
	w.children[key] = machine.Compensated
	ended := machine.ChildEnded{Step: key.step, Attempt: key.attempt, State: machine.Compensated}
	if rapid.Bool().Draw(w.t, "child is undone at once") {
		return ended
	}
	w.mail = append(w.mail, ended)
	return nil
}

// deliver takes one message out of the mail, or leaves it there to come again.
func (w *world) deliver(n int, again bool) {
	what := w.mail[n]
	if !again {
		w.mail = slices.Delete(slices.Clone(w.mail), n, n+1)
	}
	w.feed(what)
}

// busy returns the lanes that are not empty.
func (w *world) busy() []string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(w.lanes)) {
		if len(w.lanes[name]) > 0 {
			names = append(names, name)
		}
	}
	return names
}

// running returns the child sagas that have not ended.
func (w *world) running() []childKey {
	var keys []childKey
	for key, state := range w.children {
		if state == machine.Running {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, func(a, b childKey) int {
		if a.step != b.step {
			return bytes.Compare([]byte(a.step), []byte(b.step))
		}
		return a.attempt - b.attempt
	})
	return keys
}
