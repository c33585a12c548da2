package inbox

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "write what Decide answers into testdata/decide")

// TestDecide runs the scripts in testdata/decide. A line is a message:
//
//	12              number 12, made now
//	12 made +5m     made five minutes from now
//	wait 1h         lets time pass
//	max-holes 2     changes the rules
//
// and is followed by what Decide makes of it, the last number and the holes;
// a hole before the start stands in brackets. Lines that begin with # are
// comments. After a change run: go test ./inbox -run TestDecide -update
func TestDecide(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/decide/*.txt")
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
			got := newLane().play(t, string(script))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != string(script) {
				t.Errorf("got:\n%s\nwant:\n%s", got, script)
			}
		})
	}
}

// lane is what a script is about.
type lane struct {
	state LaneState
	rules Rules
	now   time.Time
}

func newLane() *lane {
	return &lane{rules: Rules{MaxHoles: 100, ClockTolerance: time.Minute}, now: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)}
}

func (l *lane) play(t *testing.T, script string) string {
	var out strings.Builder
	lines := bufio.NewScanner(strings.NewReader(script))
	for lines.Scan() {
		line := lines.Text()
		input, _, _ := strings.Cut(line, "->")
		input = strings.TrimSpace(input)
		words := strings.Fields(input)
		if len(words) == 0 || strings.HasPrefix(input, "#") {
			out.WriteString(line + "\n")
			continue
		}
		switch words[0] {
		case "wait":
			l.now = l.now.Add(duration(t, words[1]))
			out.WriteString(input + "\n")
		case "max-holes":
			l.rules.MaxHoles = int(number(t, words[1]))
			out.WriteString(input + "\n")
		default:
			made := l.now
			if len(words) == 3 {
				made = l.now.Add(duration(t, words[2]))
			}
			d := Decide(l.state, Arrival{Sequence: number(t, words[0]), Made: made, Now: l.now}, l.rules)
			l.state = d.State
			out.WriteString(fmt.Sprintf("%-16s -> %s\n", input, l.describe(d)))
		}
	}
	return out.String()
}

func (l *lane) describe(d Decision) string {
	s := fmt.Sprintf("%s; last %d", d.Verdict, l.state.Last)
	for i, h := range l.state.Holes {
		if i == 0 {
			s += ", holes"
		}
		text := fmt.Sprintf("%d-%d", h.First, h.Last)
		if h.First == h.Last {
			text = fmt.Sprint(h.First)
		}
		if h.Before {
			text = "[" + text + "]"
		}
		s += " " + text
	}
	if l.state.Gaps > 0 {
		s += fmt.Sprintf("; missed %d, late %d", l.state.Gaps, l.state.Late)
	}
	return s
}

func number(t *testing.T, s string) uint64 {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func duration(t *testing.T, s string) time.Duration {
	d, err := time.ParseDuration(strings.TrimPrefix(s, "+"))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestDecideKnowsWhatItHasSeen compares the record with a set of all numbers,
// whatever the order in which they come.
func TestDecideKnowsWhatItHasSeen(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		now := time.Now()
		rules := Rules{MaxHoles: rapid.IntRange(1, 10).Draw(t, "max holes"), ClockTolerance: time.Minute}
		var state LaneState
		seen := map[uint64]bool{}
		for _, n := range rapid.SliceOf(rapid.Uint64Range(1, 40)).Draw(t, "numbers") {
			before := slices.Clone(state.Holes)
			d := Decide(state, Arrival{Sequence: n, Made: now, Now: now}, rules)
			if !slices.Equal(state.Holes, before) {
				t.Fatalf("Decide changed its argument")
			}
			switch {
			case d.Verdict == TooManyHoles:
				if d.Verdict.Fresh() || len(state.Holes) < rules.MaxHoles {
					t.Fatalf("%d: too many holes at %v", n, state.Holes)
				}
			case d.Verdict.Fresh() == seen[n]:
				t.Fatalf("%d is %s, but seen is %v", n, d.Verdict, seen[n])
			default:
				seen[n] = true
				state = d.State
			}
			checkHoles(t, state, seen, rules)
		}
	})
}

func checkHoles(t *rapid.T, s LaneState, seen map[uint64]bool, rules Rules) {
	holes := map[uint64]bool{}
	for i, h := range s.Holes {
		if h.First > h.Last || i > 0 && h.First <= s.Holes[i-1].Last+1 {
			t.Fatalf("holes %v are not in order", s.Holes)
		}
		for n := h.First; n <= h.Last; n++ {
			holes[n] = true
		}
	}
	for n := uint64(1); n <= 40; n++ {
		if want := n <= s.Last && !seen[n]; holes[n] != want {
			t.Fatalf("number %d is in a hole: %v, want %v; last %d, holes %v", n, holes[n], want, s.Last, s.Holes)
		}
	}
	if len(s.Holes) > rules.MaxHoles {
		t.Fatalf("%d holes, more than %d", len(s.Holes), rules.MaxHoles)
	}
}
