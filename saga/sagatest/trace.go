package sagatest

import (
	"fmt"
	"strings"

	"tidings.example/saga/machine"
)

// happen begins a line of the history.
func (x *run[W]) happen(what func() string) {
	x.entries = nil
	x.length++
	if x.tracing {
		x.lines = append(x.lines, what())
	}
}

// wrong writes down what goes wrong.
func (x *run[W]) wrong(format string, args ...any) {
	if x.tracing {
		x.lines = append(x.lines, "! "+fmt.Sprintf(format, args...))
	}
}

// follows adds what follows from the last thing that happened.
func (x *run[W]) follows(what string) {
	if x.tracing && len(x.lines) > 0 {
		x.lines[len(x.lines)-1] += " -> " + what
	}
}

// reacted adds what the saga's journal says of the last thing that happened.
func (x *run[W]) reacted() {
	if !x.tracing {
		return
	}
	var parts []string
	for _, e := range x.entries {
		switch e.What {
		case machine.OccurredStart, machine.OccurredReply, machine.OccurredSignal:
			continue
		}
		part := string(e.What)
		if e.Step != "" {
			part = e.Step + ": " + part
		}
		if e.Text != "" && e.What != machine.OccurredRefused {
			part += " (" + e.Text + ")"
		}
		parts = append(parts, part)
	}
	x.entries = nil
	if len(parts) > 0 {
		x.follows(strings.Join(parts, ", "))
	}
}

// maxFolded is of how many lines what happens again and again may consist.
const maxFolded = 4

// fold leaves out what only happens again, apart from the time that passes.
func fold(lines []string) []string {
	var folded []string
	for i := 0; i < len(lines); {
		size, times := repeats(lines[i:])
		if times < 3 {
			folded = append(folded, lines[i])
			i++
			continue
		}
		folded = append(folded, lines[i:i+size]...)
		folded = append(folded, fmt.Sprintf("... and the same %d times more", times-1))
		i += size * times
	}
	return folded
}

// repeats returns how often the lines begin with the same, and of how many lines that consists.
func repeats(lines []string) (size, times int) {
	for size = 1; size <= maxFolded; size++ {
		times = 1
		for (times+1)*size <= len(lines) && alike(lines[:size], lines[times*size:(times+1)*size]) {
			times++
		}
		if times >= 3 {
			return size, times
		}
	}
	return 1, 1
}

func alike(a, b []string) bool {
	for i := range a {
		if timeless(a[i]) != timeless(b[i]) {
			return false
		}
	}
	return true
}

// timeless is a line without how much time passes.
func timeless(line string) string {
	if wait, rest, ok := strings.Cut(line, passes); ok && !strings.Contains(wait, " ") {
		return rest
	}
	return line
}

const passes = " pass"
