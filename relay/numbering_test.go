package relay

import (
	"errors"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tidings.example"
)

// Wherever relays take over from each other, the same rows under the same plans
// get the same numbers, dense in each lane.
func TestNumberingGivesTheSameNumbersAgain(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		st := State{Epoch: "e", Lanes: rapid.IntRange(1, 3).Draw(t, "lanes"), Counters: map[string][]byte{}}
		keys := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c", "d", ""}), 1, 40).Draw(t, "keys")
		first := map[string]tidings.Stamp{}
		count := map[tidings.Lane]uint64{}
		n := restart(t, st)
		done := 0 // messages of completed plans
		for i := 0; i < len(keys); i++ {
			m := numbered(i, keys[i])
			n.stamp(m)
			if rapid.IntRange(0, 3).Draw(t, "refused") == 0 {
				n.unstamp(m)
				n.stamp(m)
			}
			lane, _ := m.Lane()
			if count[lane]++; m.Stamp.Sequence != count[lane] {
				t.Fatalf("message %d has number %d, want %d", i, m.Stamp.Sequence, count[lane])
			}
			first[m.ID] = m.Stamp
			if rapid.IntRange(0, 3).Draw(t, "takeover") > 0 {
				continue
			}
			// Some of what has numbers is completed; then another takes over.
			upTo := rapid.IntRange(done, i+1).Draw(t, "completed")
			var ms []*tidings.Message
			for j := done; j < upTo; j++ {
				m := numbered(j, keys[j])
				m.Stamp = first[m.ID]
				ms = append(ms, m)
			}
			touched := map[string]bool{}
			n.complete(ms, touched)
			for channel, encoded := range n.encode(touched) {
				st.Counters[channel] = encoded
			}
			done = upTo
			n = restart(t, st)
			for j := done; j <= i; j++ {
				m := numbered(j, keys[j])
				if n.stamp(m); m.Stamp != first[m.ID] {
					t.Fatalf("message %d had stamp %v, and has %v after the takeover", j, first[m.ID], m.Stamp)
				}
			}
		}
	})
}

func restart(t *rapid.T, st State) *numbering {
	n, err := newNumbering("shop", st)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func numbered(i int, key string) *tidings.Message {
	m := message("m"+string(rune('A'+i)), key)
	if i%7 == 0 {
		m.Channel = "customers"
	}
	return &m
}

func TestNumberingRefusesCorruptCounters(t *testing.T) {
	t.Parallel()
	for name, counters := range map[string][]byte{
		"not decodable":   {9, 9},
		"other lanes":     Counters{1, 2, 3}.Encode(),
		"empty":           {},
		"truncated":       Counters{1, 300}.Encode()[:3],
		"something after": append(Counters{1, 300}.Encode(), 0),
	} {
		_, err := newNumbering("shop", State{Epoch: "e", Lanes: 2, Counters: map[string][]byte{"orders": counters}})
		if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), `"orders"`) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestEpochs(t *testing.T) {
	t.Parallel()
	now := time.UnixMilli(1_900_000_000_000)
	first, second := newEpochName(now), newEpochName(now)
	if first == second || len(first) != 22 || first[:12] != second[:12] || newEpochName(now.Add(time.Millisecond)) < first[:12] {
		t.Errorf("epoch names %q and %q", first, second)
	}
	if err := tidings.ValidateName("epoch", first); err != nil {
		t.Error(err)
	}
	good := State{Epoch: "e", Identity: "db-1", Now: "db-1", Lanes: 5}
	if reason := newEpochReason(good); reason != "" {
		t.Errorf("a new epoch since %s", reason)
	}
	restored := good
	restored.Now = "db-2"
	if reason := newEpochReason(restored); !strings.Contains(reason, "was db-1, is db-2") {
		t.Errorf("the reason is %q", reason)
	}
	if reason := newEpochReason(State{Now: "db-1"}); reason != "first epoch" {
		t.Errorf("the reason is %q", reason)
	}
}
