package relay

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"tidings.example"
)

// TestTail runs the scripts in testdata/tail through trail, numbering and window,
// without a relay around them. A line is an input, and after the arrow what
// comes of it:
//
//	log 1:a 2:b! 0:c   these rows are committed: table positions, and keys; "!" cannot be published
//	read 3             -> the next three rows: key#number, or what else becomes of them
//	read 3 floor 7     the same, and nothing at or below position 7 comes later
//	ack 1              the broker has the first piece that was read
//	fail 1             it failed
//	collect            -> what is saved now: position, set-aside rows, published rows, counters
//	decide             -> what is saved when rows were set aside: the same, with them
//	retry a b          -> set-aside rows with these keys, published under a plan; and what is saved
//	done               -> the plan is complete
//	kill               another relay begins at what was saved
//
// After a change run: go test ./relay -run TestTail$ -update
func TestTail(t *testing.T) {
	t.Parallel()
	playScripts(t, "testdata/tail/*.txt", func(t *testing.T) func(string, []string) string { return newTailMachine(t).do })
}

// A tailMachine is a tailer's state without the tailer, and the log it reads.
type tailMachine struct {
	t         *testing.T
	log       []logged
	trail     *trail
	numbering *numbering
	window    *window
	pieces    []*inflight
	done      []func(int, error)
	plan      []string // keys of the plan that is not complete

	saved struct {
		at    Checkpoint
		state State
		plan  []string
	}
}

type logged struct {
	row Row
	bad bool
}

func newTailMachine(t *testing.T) *tailMachine {
	m := &tailMachine{t: t}
	m.saved.at.Position = []byte("0")
	m.saved.state = State{Epoch: "e", Lanes: tidings.DefaultLanes, Counters: map[string][]byte{}}
	m.begin()
	return m
}

func (m *tailMachine) begin() {
	var err error
	if m.trail, err = newTrail(m.saved.at); err != nil {
		m.t.Fatal(err)
	}
	if m.numbering, err = newNumbering("shop", m.saved.state); err != nil {
		m.t.Fatal(err)
	}
	m.window = newWindow(func() {})
	m.window.open(context.Background())
	m.pieces, m.done, m.plan = nil, nil, m.saved.plan
}

func (m *tailMachine) number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		m.t.Fatal(err)
	}
	return n
}

func (m *tailMachine) do(what string, args []string) string {
	switch what {
	case "log":
		for _, arg := range args {
			at, key, _ := strings.Cut(arg, ":")
			key, bad := strings.CutSuffix(key, "!")
			m.log = append(m.log, logged{Row{Position: int64(m.number(at)), Message: message(at, key)}, bad})
		}
	case "read":
		return m.read(args)
	case "ack":
		n := m.number(args[0]) - 1
		for i := range m.pieces[n].messages {
			m.done[n](i, nil)
		}
	case "fail":
		m.done[m.number(args[0])-1](0, errors.New("no leader"))
	case "collect":
		return m.save(nil)
	case "decide":
		return m.save(nil)
	case "retry":
		if len(m.window.plans) > 0 {
			return "has to wait"
		}
		m.plan = args
		return m.publishPlan() + "; " + m.save(args)
	case "done":
		m.plan = nil
		return m.save(nil)
	case "kill":
		m.begin()
		if m.plan != nil {
			return m.publishPlan()
		}
	default:
		m.t.Fatalf("unknown input %q", what)
	}
	return ""
}

func (m *tailMachine) publishPlan() string {
	all := []string{"plan"}
	p := &inflight{id: 1}
	for _, key := range m.plan {
		msg := message("x", key)
		m.numbering.stamp(&msg)
		p.take(&msg)
		all = append(all, fmt.Sprintf("%s#%d", key, msg.Stamp.Sequence))
	}
	m.add(p)
	return strings.Join(all, " ")
}

// read takes up the next rows as the tailer does.
func (m *tailMachine) read(args []string) string {
	from, err := strconv.Atoi(string(m.saved.at.Position))
	if err != nil {
		m.t.Fatal(err)
	}
	// The trail counts from where this relay began; the log from its beginning.
	begin := from - int(m.trail.done)
	p := &inflight{}
	var all []string
	for range m.number(args[0]) {
		entry := &m.log[begin+int(m.trail.read)]
		row := entry.row
		msg := &row.Message
		text := ""
		switch turn := m.trail.next(); {
		case turn == rowAside:
			text = msg.Key + " was set aside"
		case turn == rowNew && entry.bad:
			m.trail.setAside(row.Position, false)
			text = msg.Key + " set aside"
		default:
			m.numbering.stamp(msg)
			p.take(msg)
			if text = fmt.Sprintf("%s#%d", msg.Key, msg.Stamp.Sequence); turn == rowAgain {
				text += " again"
			}
		}
		p.piece.rows = append(p.piece.rows, row)
		all = append(all, text)
	}
	p.piece.last, p.piece.end = m.trail.read, strconv.AppendInt(nil, int64(begin)+m.trail.read, 10)
	if len(args) == 3 {
		p.piece.floor = int64(m.number(args[2]))
	}
	m.add(p)
	return strings.Join(all, ", ")
}

func (m *tailMachine) add(p *inflight) {
	m.window.add(p)
	_, _, done, _ := m.window.hand(p)
	m.pieces, m.done = append(m.pieces, p), append(m.done, done)
}

// save collects and saves, as one change.
func (m *tailMachine) save(plan []string) string {
	touched := map[string]bool{}
	for _, p := range m.window.completed() {
		m.numbering.complete(p.messages, touched)
		if p.id == 0 {
			m.trail.complete(&p.piece)
		}
	}
	m.saved.at, m.saved.plan = m.trail.checkpoint(), plan
	for channel, c := range m.numbering.encode(touched) {
		m.saved.state.Counters[channel] = c
	}
	sum := uint64(0)
	for _, n := range m.numbering.completed["orders"] {
		sum += n
	}
	text := fmt.Sprintf("position %s", m.saved.at.Position)
	if len(m.saved.at.Aside) > 0 {
		aside, err := DecodePositions(m.saved.at.Aside)
		if err != nil {
			m.t.Fatal(err)
		}
		text += fmt.Sprintf(", set aside behind it %v", aside)
	}
	set := m.trail.published.set
	if set.High > lowestPosition {
		text += fmt.Sprintf(", published up to %d", set.High)
		for _, gap := range set.Gaps {
			if gap.Last > 0 {
				text += fmt.Sprintf(" without %d-%d", max(gap.First, 1), gap.Last)
			}
		}
	}
	return fmt.Sprintf("%s, counters add up to %d", text, sum)
}
