package machine_test

import (
	"testing"

	"tidings.example/saga/machine"
)

// BenchmarkThreeSteps takes a saga of a local step, a command and a local step to its end.
func BenchmarkThreeSteps(b *testing.B) {
	p := &machine.Plan{Name: "p", Steps: []machine.Step{{Name: "create", Kind: machine.Local, Compensation: machine.Local},
		{Name: "reserve", Kind: machine.Command, Compensation: machine.Command}, step("approve", machine.Local)}}
	inputs := []machine.Happening{machine.Started{}, machine.Ran{Step: "create"},
		machine.Replied{Token: machine.Token{Step: "reserve", Attempt: 1}, Success: true}, machine.Ran{Step: "approve"}}
	b.ReportAllocs()
	for b.Loop() {
		var i machine.Instance
		for _, what := range inputs {
			i, _ = machine.Advance(p, i, machine.Input{At: epoch, What: what})
		}
		if i.State != machine.Completed {
			b.Fatal(i.State)
		}
	}
}
