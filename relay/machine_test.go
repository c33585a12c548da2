package relay

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"tidings.example"
)

// TestMachine runs the scripts in testdata/machine through positions, numbering
// and window, without a relay around them. A line is an input, and after the
// arrow what comes of it:
//
//	rows 1:a 2:b   the rows 1 and 2 are committed, with these keys
//	read           -> the query, and the plan with the rows' numbers: row=key#number
//	hand 1         -> what is handed over of plan 1
//	ack 1          the broker has all of plan 1, or with "ack 1/2" its second message
//	fail 1/2       it failed
//	again          -> what is handed over after a failure
//	collect        -> the plans that are complete: their rows are removed and the counters saved
//	takeover       -> another relay begins; what it hands over again
//	sweep          rows were put back
//	wait 2s        time passes
//
// Lines that begin with # are comments. After a change run:
// go test ./relay -run TestMachine -update
func TestMachine(t *testing.T) {
	t.Parallel()
	playScripts(t, "testdata/machine/*.txt", func(t *testing.T) func(string, []string) string { return newMachine(t).do })
}

// machine is a relay's state without the relay, and the table that it reads.
type machine struct {
	t         *testing.T
	now       time.Time
	positions *positions
	numbering *numbering
	window    *window
	plans     map[int64]*inflight
	next      int64
	handed    []func(i int, err error) // of the last call for each plan
	retried   func(i int, err error)
	places    []string // what retried's indices stand for

	rows  map[int64]string // the table: keys
	saved State            // what the source remembers
}

func newMachine(t *testing.T) *machine {
	m := &machine{t: t, now: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC), rows: map[int64]string{},
		saved: State{Epoch: "e", Lanes: tidings.DefaultLanes, Counters: map[string][]byte{}}}
	m.begin()
	return m
}

func (m *machine) begin() {
	m.positions = newPositions(func() time.Time { return m.now })
	m.positions.nextSweep = m.now.Add(time.Hour) // scripts say when
	m.window = newWindow(func() {})
	m.window.open(context.Background())
	m.plans, m.handed, m.retried, m.next = map[int64]*inflight{}, make([]func(int, error), 100), nil, 0
	numbering, err := newNumbering("shop", m.saved)
	if err != nil {
		m.t.Fatal(err)
	}
	m.numbering = numbering
}

func (m *machine) do(what string, args []string) string {
	switch what {
	case "rows":
		for _, arg := range args {
			at, key, _ := strings.Cut(arg, ":")
			m.rows[m.number(at)] = key
		}
	case "read":
		return m.read()
	case "hand":
		return m.hand(m.number(args[0]))
	case "ack", "fail":
		m.answer(args[0], what == "fail")
	case "again":
		var ms []*tidings.Message
		m.places = nil
		for _, p := range m.window.plans {
			for i, acked := range p.acked {
				if !acked {
					m.places = append(m.places, fmt.Sprintf("%d/%d", p.id, i+1))
				}
			}
		}
		ms, m.retried = m.window.again()
		return names(ms)
	case "open":
		m.window.open(context.Background())
		m.retried = nil
	case "collect":
		return m.collect()
	case "takeover":
		return m.takeover()
	case "sweep":
		m.positions.sweep()
	case "wait":
		d, err := time.ParseDuration(args[0])
		if err != nil {
			m.t.Fatal(err)
		}
		m.now = m.now.Add(d)
	default:
		m.t.Fatalf("unknown input %q", what)
	}
	return ""
}

func (m *machine) number(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		m.t.Fatal(err)
	}
	return n
}

func (m *machine) row(at int64) Row {
	return Row{Position: at, Message: message(fmt.Sprintf("m%d", at), m.rows[at])}
}

func (m *machine) read() string {
	q := m.positions.next(4, 1<<20)
	var asks []string
	for _, r := range q.Ranges {
		asks = append(asks, strings.TrimSuffix(strings.Replace(fmt.Sprintf("%d-%d", r.First, r.Last), strconv.Itoa(lowest)+"-", "up to ", 1), fmt.Sprintf("-%d", r.First)))
	}
	if q.Limit > 0 {
		asks = append(asks, fmt.Sprintf("above %d", q.After))
	}
	text := "reads " + strings.Join(asks, ", ")
	rows := m.positions.seen(q, answer(q, slices.Sorted(maps.Keys(m.rows)), m.row))
	if len(rows) == 0 {
		return text + "; nothing"
	}
	m.next++
	p := &inflight{id: m.next}
	for i := range rows {
		p.positions = append(p.positions, rows[i].Position)
	}
	m.add(p, rows)
	m.saved.Plans = append(m.saved.Plans, Plan{ID: p.id, Positions: EncodePositions(p.positions)})
	return fmt.Sprintf("%s; plan %d: %s", text, p.id, describe(p))
}

// add numbers the rows and puts them into the window.
func (m *machine) add(p *inflight, rows []Row) {
	for i := range rows {
		m.numbering.stamp(&rows[i].Message)
		p.messages = append(p.messages, &rows[i].Message)
	}
	m.plans[p.id] = p
	m.window.add(p)
}

func describe(p *inflight) string {
	var all []string
	for i, msg := range p.messages {
		all = append(all, fmt.Sprintf("%d=%s#%d", p.positions[i], msg.Key, msg.Stamp.Sequence))
	}
	return strings.Join(all, " ")
}

func names(ms []*tidings.Message) string {
	all := []string{"publishes"}
	for _, msg := range ms {
		all = append(all, fmt.Sprintf("%s#%d", msg.Key, msg.Stamp.Sequence))
	}
	return strings.Join(all, " ")
}
