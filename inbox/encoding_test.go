package inbox

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// someHoles draws holes that are in order and do not touch each other.
var someHoles = rapid.Custom(func(t *rapid.T) []Hole {
	step := rapid.OneOf(rapid.Uint64Range(1, 5), rapid.Uint64Range(1, 1<<50))
	var holes []Hole
	last := rapid.Uint64Range(0, 3).Draw(t, "before the first")
	for range rapid.IntRange(0, 20).Draw(t, "holes") {
		h := Hole{First: last + step.Draw(t, "between"), Before: rapid.Bool().Draw(t, "before")}
		h.Last = h.First + step.Draw(t, "length") - 1
		holes = append(holes, h)
		last = h.Last + 1
	}
	return holes
})

func TestHolesComeBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		holes := someHoles.Draw(t, "holes")
		if got, err := DecodeHoles(EncodeHoles(holes)); err != nil || !slices.Equal(got, holes) {
			t.Fatalf("got %v, %v", got, err)
		}
	})
	highest := []Hole{{First: 1, Last: 1, Before: true}, {First: 3, Last: maxSequence}}
	if got, err := DecodeHoles(EncodeHoles(highest)); err != nil || !slices.Equal(got, highest) {
		t.Errorf("highest numbers: got %v, %v", got, err)
	}
}

// The bytes are stored in users' databases: they must not change.
func TestHolesEncodingIsFixed(t *testing.T) {
	t.Parallel()
	holes := []Hole{{First: 1, Last: 4, Before: true}, {First: 7, Last: 7}, {First: 9, Last: 308}}
	if got, want := EncodeHoles(holes), []byte{1, 3, 0, 7, 2, 0, 1, 0xd6, 4}; !bytes.Equal(got, want) {
		t.Errorf("holes %x, want %x", got, want)
	}
	if got := EncodeHoles(nil); got != nil {
		t.Errorf("no holes are %x, want nothing", got)
	}
}

func TestDecodeHolesRefusesWhatIsWrong(t *testing.T) {
	t.Parallel()
	for name, b := range map[string][]byte{
		"version":         {2, 1, 0, 0},
		"no count":        {1},
		"no holes":        {1, 0},
		"too many":        {1, 200, 1, 0, 0},
		"truncated":       {1, 2, 0, 0, 1, 0x80},
		"touching":        {1, 2, 0, 0, 0, 0},
		"bytes too many":  {1, 1, 0, 0, 9},
		"first too high":  append([]byte{1, 1}, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0),
		"length too high": append([]byte{1, 1, 0}, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1),
		"overlong number": append([]byte{1, 1, 0}, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1),
	} {
		if holes, err := DecodeHoles(b); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: got %v, %v", name, holes, err)
		}
	}
}

func FuzzDecodeHoles(f *testing.F) {
	f.Add([]byte(nil))
	f.Add(EncodeHoles([]Hole{{First: 1, Last: 4, Before: true}, {First: 9, Last: 308}}))
	f.Add([]byte{1, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, b []byte) {
		holes, err := DecodeHoles(b)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatalf("error %v is not ErrCorrupt", err)
			}
			return
		}
		for i, h := range holes {
			if h.First == 0 || h.Last < h.First || h.Last > maxSequence || i > 0 && h.First <= holes[i-1].Last+1 {
				t.Fatalf("holes %v are not in order", holes)
			}
		}
		if again, err := DecodeHoles(EncodeHoles(holes)); err != nil || !slices.Equal(again, holes) {
			t.Fatalf("%v became %v, %v", holes, again, err)
		}
	})
}
