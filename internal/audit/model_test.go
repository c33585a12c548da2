package audit

import (
	"fmt"

	"tidings.example"
	"tidings.example/admin"
	"tidings.example/broker"
)

const (
	testSource  = "orders"
	testChannel = "orders.events"
	testEpoch   = "e1"
	testLanes   = 4
)

// keyOf is a key of each lane.
var keyOf = func() (keys [testLanes]string) {
	for i := 0; ; i++ {
		key := fmt.Sprint("key", i)
		n := tidings.LaneOf(key, testLanes)
		if keys[n] == "" {
			keys[n] = key
		}
		if keys[0] != "" && keys[1] != "" && keys[2] != "" && keys[3] != "" {
			return keys
		}
	}
}()

// record is a message as a channel holds it.
func record(epoch string, lane int, n uint64, id string) broker.Retained {
	return broker.Retained{Message: tidings.Message{ID: id, Source: testSource, Channel: testChannel, Key: keyOf[lane],
		Type: "T", Stamp: tidings.Stamp{Epoch: epoch, Lane: lane, Sequence: n}}}
}

// idOf is the id of a number's message.
func idOf(lane int, n uint64) string { return fmt.Sprintf("m-%d-%d", lane, n) }

// A world is what an audit reads, made by hand.
type world struct {
	records []broker.Retained
	given   [testLanes]uint64
	lanes   []admin.HandledLane
	trimmed bool
	planned int64
	epochs  []string
	// reading and led are as in Evidence.
	reading string
	led     bool
}

func (w *world) publish(lane int, numbers ...uint64) {
	for _, n := range numbers {
		w.records = append(w.records, record(testEpoch, lane, n, idOf(lane, n)))
	}
}

func (w *world) handle(lane int, last uint64, holes ...admin.Span) {
	w.lanes = append(w.lanes, admin.HandledLane{Lane: tidings.Lane{Source: testSource, Epoch: testEpoch, Channel: testChannel, N: lane},
		Last: last, Holes: holes})
}

// audit compares as Run does, with the second reading.
func (w *world) audit() *Report {
	n := admin.Numbered{Source: testSource, Epoch: testEpoch, Lanes: testLanes, Planned: w.planned,
		Counters: map[string][]uint64{testChannel: w.given[:]}}
	of := map[string]int{}
	for _, name := range append(w.epochs, testEpoch) {
		n.Epochs = append(n.Epochs, admin.EpochRecord{Name: name, Lanes: testLanes})
		of[name] = testLanes
	}
	l := NewLedger(testSource, testChannel, of)
	l.Extent = broker.Extent{Partitions: 2, Trimmed: []bool{w.trimmed, w.trimmed}, Records: int64(len(w.records))}
	for i := range w.records {
		l.Add(&w.records[i])
	}
	e := &Evidence{First: n, Now: n, Reading: w.reading, Led: w.led, Channels: []*Ledger{l}}
	if w.lanes != nil {
		h := admin.Handled{Lanes: w.lanes}
		e.Subscribers = []Subscribed{{Name: "customers", First: h, Now: h}}
	}
	r := Compare(e)
	if locator := NewLocator(r); locator != nil {
		for i := range w.records {
			locator.Add(&w.records[i])
		}
		r = locator.Settle(r)
	}
	return r
}

// short is a difference as tests write it: kind lane:first-last.
func short(d *Difference) string {
	return fmt.Sprintf("%s %d:%d-%d", d.Kind, d.Lane.N, d.First, d.Last)
}
