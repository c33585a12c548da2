package machine_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"tidings.example/saga/machine"
)

// define reads a line that defines the saga: "saga [timeout=D] [undo=N]",
// "step NAME KIND [option...]", and, indented, members of the group above.
func define(t *testing.T, p *machine.Plan, line string, words []string) bool {
	t.Helper()
	switch words[0] {
	case "saga":
		s := machine.Step{}
		options(t, &s, words[1:])
		p.Timeout, p.Undo = s.Timeout, s.Retry
		return true
	case "step":
		s := machine.Step{Name: words[1], Kind: machine.Kind(words[2])}
		if s.Kind == "all" || s.Kind == "first" {
			s.Kind, s.Join = machine.Group, machine.Join(s.Kind)
		}
		options(t, &s, words[3:])
		if !strings.HasPrefix(line, " ") {
			p.Steps = append(p.Steps, s)
			return true
		}
		g := &p.Steps[len(p.Steps)-1]
		g.Members = append(g.Members, s)
		return true
	}
	return false
}

func options(t *testing.T, s *machine.Step, words []string) {
	t.Helper()
	for _, word := range words {
		key, value, _ := strings.Cut(word, "=")
		switch key {
		case "undo":
			s.Compensation = machine.Kind(value)
		case "timeout":
			s.Timeout = duration(t, value)
		case "attempts":
			n, err := strconv.Atoi(value)
			if err != nil {
				t.Fatal(err)
			}
			s.Retry.Attempts = n
		case "first":
			s.Retry.Initial = duration(t, value)
		case "max":
			s.Retry.Max = duration(t, value)
		case "pivot":
			s.Pivot = true
		case "if":
			s.Conditional = true
		case "type":
			s.Type = value
		case "of":
			s.Participant = value
		case "undoing":
			s.Undoing = value
		default:
			t.Fatalf("option %q", word)
		}
	}
}

func duration(t *testing.T, s string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// parse reads an input.
func parse(t *testing.T, word string, args []string) machine.Happening {
	t.Helper()
	rest := func(n int) string { return strings.Join(args[min(n, len(args)):], " ") }
	switch word {
	case "start":
		return machine.Started{}
	case "ran": // ran [undo] STEP ok|error|refused [TEXT]
		r := machine.Ran{}
		if args[0] == "undo" {
			r.Undo, args = true, args[1:]
		}
		r.Step = args[0]
		if args[1] != "ok" {
			r.Refused, r.Error = args[1] == "refused", rest(2)
		}
		return r
	case "answer": // answer STEP yes|no|DURATION since the script's start
		a := machine.Answered{Step: args[0], Holds: args[1] != "no"}
		if args[1] != "no" && args[1] != "yes" {
			a.Until = epoch.Add(duration(t, args[1]))
		}
		return a
	case "reply": // reply TOKEN ok|failed|retryable [TEXT]
		token, err := machine.ParseToken(args[0])
		if err != nil {
			t.Fatal(err)
		}
		return machine.Replied{Token: token, Success: args[1] == "ok", Retryable: args[1] == "retryable", Error: rest(2)}
	case "event":
		return machine.Signaled{Step: args[0]}
	case "child": // child STEP[/ATTEMPT] STATE [TEXT]
		step, number, _ := strings.Cut(args[0], "/")
		attempt, _ := strconv.Atoi(number)
		return machine.ChildEnded{Step: step, Attempt: attempt, State: machine.State(args[1]), Error: rest(2)}
	case "wake":
		return machine.Woken{}
	case "undecodable":
		return machine.Undecodable{Error: rest(0)}
	case "parent":
		return machine.Requested{Op: machine.Compensate, Parent: true}
	case "operator": // operator OP [STEP] [ok]
		r := machine.Requested{Op: machine.Op(args[0]), Actor: "ann", Reason: "ticket 7"}
		for _, arg := range args[1:] {
			if arg == "ok" {
				r.Success = true
			} else {
				r.Step = arg
			}
		}
		return r
	}
	t.Fatalf("input %q", word)
	return nil
}
