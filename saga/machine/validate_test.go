package machine_test

import (
	"strings"
	"testing"
	"time"

	"tidings.example/saga/machine"
)

func step(name string, kind machine.Kind) machine.Step { return machine.Step{Name: name, Kind: kind} }

// TestValidate changes a valid plan into one that is not, and looks for the
// name of the step and a word of advice.
func TestValidate(t *testing.T) {
	t.Parallel()
	valid := func() *machine.Plan {
		g := machine.Step{Name: "g", Kind: machine.Group, Join: machine.All, Members: []machine.Step{step("m", machine.Local), step("n", machine.Event)}}
		c := machine.Step{Name: "c", Kind: machine.Command, Compensation: machine.Command, Pivot: true, Timeout: time.Second, Retry: machine.Retry{Attempts: 2}}
		return &machine.Plan{Name: "p", Steps: []machine.Step{step("a", machine.Local), g, c, step("w", machine.Wait)}}
	}
	if err := valid().Validate(); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name   string
		change func(p *machine.Plan)
		want   string
	}{
		{"name", func(p *machine.Plan) { p.Name = "a saga" }, `saga "a saga"`},
		{"no name", func(p *machine.Plan) { p.Name = "" }, "1 to 200 letters"},
		{"no steps", func(p *machine.Plan) { p.Steps = nil }, "saga p: it has no steps: add"},
		{"timeout", func(p *machine.Plan) { p.Timeout = -1 }, "timeout is negative"},
		{"undo", func(p *machine.Plan) { p.Undo.Attempts = -1 }, "retries of compensations: the number of attempts"},
		{"step name", func(p *machine.Plan) { p.Steps[0].Name = "a/b" }, `step "a/b"`},
		{"long step name", func(p *machine.Plan) { p.Steps[0].Name = strings.Repeat("a", 201) }, "1 to 200"},
		{"twice", func(p *machine.Plan) { p.Steps[1].Members[1].Name = "a" }, "step a: there are two"},
		{"kind", func(p *machine.Plan) { p.Steps[0].Kind = "x" }, `step a: its kind "x"`},
		{"members", func(p *machine.Plan) { p.Steps[0].Members = []machine.Step{step("z", machine.Local)} }, "step a: only a group"},
		{"join of no group", func(p *machine.Plan) { p.Steps[0].Join = machine.All }, "step a: only a group"},
		{"join", func(p *machine.Plan) { p.Steps[1].Join = "" }, "step g: its join"},
		{"no members", func(p *machine.Plan) { p.Steps[1].Members = nil }, "step g: the group has no members"},
		{"nested", func(p *machine.Plan) { p.Steps[1].Members[0].Kind = machine.Group }, "step m: a group cannot be in a group"},
		{"pivot in group", func(p *machine.Plan) { p.Steps[2].Pivot = false; p.Steps[1].Members[0].Pivot = true }, "step m: a pivot cannot be in a group"},
		{"two pivots", func(p *machine.Plan) { p.Steps[0].Pivot = true }, "step c: is a pivot, and a is one"},
		{"pivot that comes late", func(p *machine.Plan) { p.Steps[2].Compensation = "" }, "step c: a pivot that times out"},
		{"pivot whose member comes late", func(p *machine.Plan) {
			p.Steps[2].Pivot = false
			p.Steps[1].Pivot = true
			p.Steps[1].Members[0] = machine.Step{Name: "m", Kind: machine.Command, Timeout: 1}
		}, "step m: a pivot that times out"},
		{"undo of group", func(p *machine.Plan) { p.Steps[1].Compensation = machine.Local }, "step g: a group has no compensation"},
		{"undo of saga", func(p *machine.Plan) { p.Steps[0].Kind, p.Steps[0].Compensation = machine.Saga, machine.Local }, "step a: a child saga"},
		{"undo as saga", func(p *machine.Plan) { p.Steps[0].Compensation = machine.Saga }, "step a: only a child saga"},
		{"unknown undo", func(p *machine.Plan) { p.Steps[0].Compensation = machine.Wait }, `step a: its compensation "wait"`},
		{"step timeout", func(p *machine.Plan) { p.Steps[2].Timeout = -1 }, "step c: its timeout is negative"},
		{"timeout of what is not waited for", func(p *machine.Plan) { p.Steps[0].Timeout = 1 }, "step a: nothing is waited for"},
		{"retry", func(p *machine.Plan) { p.Steps[2].Retry.Attempts = -1 }, "step c: the number of attempts"},
		{"wait", func(p *machine.Plan) { p.Steps[2].Retry.Initial = -1 }, "step c: a wait between"},
		{"waits", func(p *machine.Plan) { p.Steps[2].Retry = machine.Retry{Initial: 2, Max: 1} }, "step c: the first wait"},
		{"retry of a wait", func(p *machine.Plan) { p.Steps[3].Retry.Attempts = 2 }, "step w: a step of kind wait is not tried again"},
	} {
		p := valid()
		test.change(p)
		if err := p.Validate(); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		}
	}
}

func TestFingerprint(t *testing.T) {
	t.Parallel()
	plan := func() *machine.Plan {
		return &machine.Plan{Name: "p", Steps: []machine.Step{step("a", machine.Local),
			{Name: "g", Kind: machine.Group, Join: machine.All, Members: []machine.Step{step("m", machine.Local)}}, step("b", machine.Local)}}
	}
	first := plan().Fingerprint()
	// It is in databases: it must not change.
	if want := "9a094f6f92345d230f8982d587fe8a20"; first != want {
		t.Errorf("fingerprint %s, want %s", first, want)
	}
	for name, change := range map[string]func(p *machine.Plan){
		"timeout":     func(p *machine.Plan) { p.Timeout, p.Steps[0].Timeout = 1, 1 },
		"retry":       func(p *machine.Plan) { p.Undo.Attempts, p.Steps[0].Retry.Attempts = 3, 3 },
		"for people":  func(p *machine.Plan) { p.Steps[0].Type, p.Steps[0].Participant, p.Steps[0].Undoing = "x", "y", "z" },
		"empty slice": func(p *machine.Plan) { p.Steps[0].Members = []machine.Step{} },
	} {
		p := plan()
		if change(p); p.Fingerprint() != first {
			t.Errorf("%s changes the fingerprint", name)
		}
	}
	seen := map[string]string{first: "the plan itself"}
	for name, change := range map[string]func(p *machine.Plan){
		"saga":         func(p *machine.Plan) { p.Name = "q" },
		"name":         func(p *machine.Plan) { p.Steps[0].Name = "x" },
		"kind":         func(p *machine.Plan) { p.Steps[0].Kind = machine.Wait },
		"order":        func(p *machine.Plan) { p.Steps[0], p.Steps[2] = p.Steps[2], p.Steps[0] },
		"compensation": func(p *machine.Plan) { p.Steps[0].Compensation = machine.Local },
		"condition":    func(p *machine.Plan) { p.Steps[0].Conditional = true },
		"pivot":        func(p *machine.Plan) { p.Steps[0].Pivot = true },
		"join":         func(p *machine.Plan) { p.Steps[1].Join = machine.First },
		"member":       func(p *machine.Plan) { p.Steps[1].Members[0].Name = "x" },
		"out of group": func(p *machine.Plan) { p.Steps = append(p.Steps, p.Steps[1].Members...); p.Steps[1].Members = nil },
		"one less":     func(p *machine.Plan) { p.Steps = p.Steps[:2] },
	} {
		p := plan()
		change(p)
		if other, ok := seen[p.Fingerprint()]; ok {
			t.Errorf("%s has the fingerprint of %s", name, other)
		}
		seen[p.Fingerprint()] = name
	}
}

func TestContinues(t *testing.T) {
	t.Parallel()
	old := &machine.Plan{Name: "p", Steps: []machine.Step{
		{Name: "a", Kind: machine.Command, Compensation: machine.Command},
		{Name: "g", Kind: machine.Group, Join: machine.All, Members: []machine.Step{{Name: "m", Kind: machine.Command, Compensation: machine.Command}, step("n", machine.Event)}},
		step("b", machine.Local), step("c", machine.Local)}}
	advance := func(i machine.Instance, what machine.Happening) machine.Instance {
		i, _ = machine.Advance(old, i, machine.Input{At: epoch, What: what})
		return i
	}
	token := func(step string) machine.Token { return machine.Token{Step: step, Attempt: 1} }
	atA := advance(machine.Instance{}, machine.Started{})
	atGroup := advance(atA, machine.Replied{Token: token("a"), Success: true})
	back := advance(atGroup, machine.Requested{Op: machine.Compensate})
	ended := advance(back, machine.Requested{Op: machine.Fail})
	plan := func(change func(p *machine.Plan)) *machine.Plan {
		p := *old
		p.Steps = append([]machine.Step(nil), old.Steps...)
		p.Steps[1].Members = append([]machine.Step(nil), old.Steps[1].Members...)
		change(&p)
		return &p
	}
	for _, test := range []struct {
		name   string
		i      machine.Instance
		change func(p *machine.Plan)
		want   string
	}{
		{"the same", atGroup, func(*machine.Plan) {}, ""},
		{"what comes later", atGroup, func(p *machine.Plan) {
			p.Steps = append(p.Steps[:2], step("x", machine.Wait), step("c", machine.Command))
		}, ""},
		{"gone, done", atGroup, func(p *machine.Plan) { p.Steps = p.Steps[1:] }, "step a is done and may have to be undone, and is not in the definition: put it back"},
		{"gone, active", atA, func(p *machine.Plan) { p.Steps = p.Steps[1:] }, "step a is active and is not in the definition"},
		{"member gone", atGroup, func(p *machine.Plan) { p.Steps[1].Members = p.Steps[1].Members[1:] }, "step m is active"},
		{"group renamed", atGroup, func(p *machine.Plan) { p.Steps[1].Name = "h" }, ""},
		{"kind", atGroup, func(p *machine.Plan) { p.Steps[1].Members[1].Kind = machine.Wait }, "step n was begun as event and is wait"},
		{"no compensation", atGroup, func(p *machine.Plan) { p.Steps[0].Compensation = "" }, "step a has no compensation in the definition any more"},
		{"other compensation, later", atGroup, func(p *machine.Plan) { p.Steps[0].Compensation = machine.Local }, ""},
		{"other compensation, now", back, func(p *machine.Plan) { p.Steps[1].Members[0].Compensation = machine.Local }, "step m is being undone by command, and by local"},
		{"gone, being undone", back, func(p *machine.Plan) { p.Steps[1].Members = p.Steps[1].Members[1:] }, "step m is undoing"},
		{"put before", atGroup, func(p *machine.Plan) { p.Steps = append([]machine.Step{step("x", machine.Local)}, p.Steps...) }, "step x is not begun and comes before a"},
		{"moved before", atGroup, func(p *machine.Plan) { p.Steps[1], p.Steps[2] = p.Steps[2], p.Steps[1] }, "step b is not begun and comes before g"},
		{"put before what is undone", back, func(p *machine.Plan) { p.Steps = append([]machine.Step{step("x", machine.Local)}, p.Steps...) }, ""},
		{"ended", ended, func(p *machine.Plan) { p.Steps = nil }, ""},
		{"not started", machine.Instance{}, func(p *machine.Plan) { p.Steps = nil }, ""},
	} {
		err := machine.Continues(plan(test.change), &test.i)
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		}
	}
}

// TestAttemptsByDefault counts how often a compensation is tried where the plan does not say.
func TestAttemptsByDefault(t *testing.T) {
	t.Parallel()
	p := &machine.Plan{Name: "p", Steps: []machine.Step{{Name: "a", Kind: machine.Local, Compensation: machine.Local}, step("b", machine.Local)}}
	i, now, tried := machine.Instance{}, epoch, 0
	feed := func(what machine.Happening) { i, _ = machine.Advance(p, i, machine.Input{At: now, What: what}) }
	feed(machine.Started{})
	feed(machine.Ran{Step: "a"})
	feed(machine.Ran{Step: "b", Refused: true})
	for ; i.State == machine.Compensating && tried < 100; tried++ {
		feed(machine.Ran{Step: "a", Undo: true, Error: "no"})
		now = machine.Next(p, &i)
		feed(machine.Woken{})
	}
	if i.State != machine.Stuck || tried != 20 {
		t.Errorf("%s after %d attempts", i.State, tried)
	}
}
