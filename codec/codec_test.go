package codec_test

import (
	"encoding/json"
	"testing"

	"tidings.example/codec"
)

type order struct {
	CustomerID string
	Total      int
}

func FuzzJSON(f *testing.F) {
	f.Add(`{"CustomerID":"ada","Total":42}`)
	f.Add(`null`)
	f.Fuzz(func(t *testing.T, payload string) {
		for _, c := range []codec.JSON{{}, {DisallowUnknownFields: true}} {
			var e order
			if err := c.Decode("application/json", []byte(payload), &e); err != nil {
				continue
			}
			if !json.Valid([]byte(payload)) {
				t.Fatalf("accepted %q", payload)
			}
			encoded, err := c.Encode(e)
			if err != nil {
				t.Fatal(err)
			}
			var again order
			if err := c.Decode("application/json", encoded, &again); err != nil || again != e {
				t.Fatalf("%+v became %+v, %v", e, again, err)
			}
		}
	})
}
