package machine_test

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tidings.example/saga/machine"
)

var update = flag.Bool("update", false, "write what the machine does into the scripts in testdata")

// TestScripts plays the scripts in testdata. A script defines a saga, one step a
// line, and gives inputs; behind each arrow is what the machine does, and
// where the saga is then. Times are counted from the start of the script.
func TestScripts(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			script, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := play(t, string(script))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if got != string(script) {
				t.Errorf("got:\n%s\nwant:\n%s", got, script)
			}
		})
	}
}

// play returns the script with what its inputs do.
func play(t *testing.T, script string) string {
	var out strings.Builder
	s := &stage{t: t, plan: &machine.Plan{Name: "script"}, now: epoch}
	lines := bufio.NewScanner(strings.NewReader(script))
	for lines.Scan() {
		line := lines.Text()
		input, _, _ := strings.Cut(line, "->")
		input = strings.TrimRight(input, " ")
		if words := strings.Fields(input); len(words) == 0 || strings.HasPrefix(input, "#") || define(t, s.plan, input, words) {
			out.WriteString(line + "\n")
		} else {
			fmt.Fprintf(&out, "%-28s -> %s\n", input, s.do(words[0], words[1:]))
		}
	}
	return out.String()
}

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// stage is where a script is played.
type stage struct {
	t      *testing.T
	plan   *machine.Plan
	i      machine.Instance
	now    time.Time
	jitter float64
}

func (s *stage) do(word string, args []string) string {
	switch word {
	case "wait":
		s.now = s.now.Add(duration(s.t, args[0]))
		return s.advance(machine.Woken{})
	case "clock":
		// The clock is set, and nothing notices.
		s.now = epoch.Add(duration(s.t, args[0]))
		return "it is " + s.now.Sub(epoch).String()
	case "jitter":
		fmt.Sscan(args[0], &s.jitter)
		return "by chance " + args[0]
	case "lose":
		// The definition is changed.
		for i := range s.plan.Steps {
			if s.plan.Steps[i].Name == args[0] {
				s.plan.Steps = append(s.plan.Steps[:i:i], s.plan.Steps[i+1:]...)
				break
			}
		}
		if err := machine.Continues(s.plan, &s.i); err != nil {
			return err.Error()
		}
		return "goes on"
	}
	return s.advance(parse(s.t, word, args))
}

func (s *stage) advance(what machine.Happening) string {
	verdict := ""
	if r, ok := what.(machine.Replied); ok {
		verdict = string(machine.Expects(s.plan, &s.i, r.Token)) + "; "
	}
	i, outputs := machine.Advance(s.plan, s.i, machine.Input{At: s.now, Jitter: s.jitter, What: what})
	s.i = i
	return verdict + tell(outputs) + " | " + s.where()
}

// where tells how far the saga is.
func (s *stage) where() string {
	text := string(s.i.State)
	if s.i.Forward {
		text += " forward"
	}
	for _, name := range machine.At(s.plan, &s.i) {
		text += fmt.Sprintf(", %s %s", name, s.i.Steps[name].Phase)
	}
	if s.i.Error != "" {
		text += fmt.Sprintf(" (%s)", s.i.Error)
	}
	if next := machine.Next(s.plan, &s.i); !next.IsZero() {
		text += " until " + next.Sub(epoch).String()
	}
	return text
}

// tell says what the outputs are. Of the journal, that a step begins is left out: it is sent or run as well.
func tell(outputs []machine.Output) string {
	var words []string
	for _, o := range outputs {
		switch o := o.(type) {
		case machine.RunLocal:
			words = append(words, "run "+undo(o.Undo)+o.Step)
		case machine.Decide:
			words = append(words, "decide "+o.Step)
		case machine.Send:
			word := "send " + o.Token.String()
			if o.Round > 0 {
				word += fmt.Sprintf(" as command %d", o.Round+1)
			}
			words = append(words, word)
		case machine.StartChild:
			words = append(words, fmt.Sprintf("start child %s/%d", o.Step, o.Attempt))
		case machine.UndoChild:
			words = append(words, fmt.Sprintf("undo child %s/%d", o.Step, o.Attempt))
		case machine.Finished:
			words = append(words, "tell the end")
		case machine.Record:
			if o.Entry.What == machine.OccurredBegin || o.Entry.What == machine.OccurredUndo {
				continue
			}
			words = append(words, "*"+entry(o.Entry))
		}
	}
	if len(words) == 0 {
		return "nothing"
	}
	return strings.Join(words, "; ")
}

func entry(e machine.Entry) string {
	text := string(e.What)
	if e.Step != "" {
		text += " " + undo(e.Undo) + e.Step
	}
	if e.Attempt > 0 {
		text += fmt.Sprintf("/%d", e.Attempt)
	}
	if e.Text != "" {
		text += ": " + e.Text
	}
	return text
}

func undo(undo bool) string {
	if undo {
		return "undo of "
	}
	return ""
}
