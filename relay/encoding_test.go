package relay

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestEncodingsComeBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		counters := Counters(rapid.SliceOf(rapid.Uint64()).Draw(t, "counters"))
		if got, err := DecodeCounters(counters.Encode()); err != nil || !slices.Equal(got, counters) {
			t.Fatalf("counters: got %v, %v", got, err)
		}
		positions := rapid.SliceOf(rapid.Int64Min(0)).Draw(t, "positions")
		if got, err := DecodePositions(EncodePositions(positions)); err != nil || !slices.Equal(got, positions) {
			t.Fatalf("positions: got %v, %v", got, err)
		}
	})
}

// The bytes are stored in users' databases: they must not change.
func TestEncodingsAreFixed(t *testing.T) {
	t.Parallel()
	if got, want := (Counters{0, 1, 300}).Encode(), []byte{1, 3, 0, 1, 0xac, 2}; !bytes.Equal(got, want) {
		t.Errorf("counters %x, want %x", got, want)
	}
	if got, want := EncodePositions([]int64{7, 8, 6}), []byte{1, 3, 14, 2, 3}; !bytes.Equal(got, want) {
		t.Errorf("positions %x, want %x", got, want)
	}
}

func FuzzDecodeCounters(f *testing.F) {
	f.Add(Counters{1, 2, 3}.Encode())
	f.Add([]byte{1, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := DecodeCounters(b)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatalf("error %v is not ErrCorrupt", err)
			}
			return
		}
		if again, err := DecodeCounters(c.Encode()); err != nil || !slices.Equal(again, c) {
			t.Fatalf("%v became %v, %v", c, again, err)
		}
	})
}

func FuzzDecodePositions(f *testing.F) {
	f.Add(EncodePositions([]int64{5, 6, 9, 1}))
	f.Add([]byte{1, 200})
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := DecodePositions(b)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatalf("error %v is not ErrCorrupt", err)
			}
			return
		}
		if again, err := DecodePositions(EncodePositions(p)); err != nil || !slices.Equal(again, p) {
			t.Fatalf("%v became %v, %v", p, again, err)
		}
	})
}
