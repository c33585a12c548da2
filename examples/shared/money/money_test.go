package money

import (
	"encoding/json"
	"errors"
	"math/big"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Money{
		"0": 0, "-0": 0, "0.00": 0, "0e99999999999999999999": 0, "-0.0E-99999999999999999999": 0,
		"1": 100, "12.3": 1230, "12.34": 1234, "12.340": 1234, "0.01": 1, "100": 10000,
		"1e2": 10000, "1E+2": 10000, "1234e-2": 1234, "0.1234e2": 1234, "1e-2": 1, "1000e-5": 1,
		"999999999999.99": Max, "99999999999999e-2": Max,
		// A float64 would make 0.289999... and 1.149999... of these.
		"0.29": 29, "1.15": 115, "4503599627.37": 450359962737,
	} {
		if got, err := Parse(text); err != nil || got != want {
			t.Errorf("Parse(%q) = %d, %v; want %d", text, got, err, want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]error{
		"": ErrNotNumber, "-": ErrNotNumber, "+1": ErrNotNumber, "01": ErrNotNumber, "1.": ErrNotNumber, ".5": ErrNotNumber,
		"1e": ErrNotNumber, "1e+": ErrNotNumber, "1e+-2": ErrNotNumber, "1e2.5": ErrNotNumber, "0x10": ErrNotNumber,
		"NaN": ErrNotNumber, "Infinity": ErrNotNumber, `"12.34"`: ErrNotNumber, "null": ErrNotNumber, "true": ErrNotNumber,
		"1 ": ErrNotNumber, " 1": ErrNotNumber, "1,5": ErrNotNumber, "{}": ErrNotNumber, "١": ErrNotNumber,
		"-1": ErrNegative, "-0.01": ErrNegative, "-1e99999999999999999999": ErrNegative,
		"0.001": ErrInexact, "12.345": ErrInexact, "1e-3": ErrInexact, "1e-99999999999999999999": ErrInexact,
		"123456789.123456789": ErrInexact,
		"1000000000000":       ErrTooLarge, "12345678901234567890": ErrTooLarge, "99999999999999999999": ErrTooLarge,
		"1e12": ErrTooLarge, "1e2147483647": ErrTooLarge, "1e99999999999999999999": ErrTooLarge,
	} {
		if got, err := Parse(text); !errors.Is(err, want) {
			t.Errorf("Parse(%q) = %d, %v; want %v", text, got, err, want)
		}
	}
}

func TestStringIsShortest(t *testing.T) {
	t.Parallel()
	for m, want := range map[Money]string{0: "0", 1: "0.01", 10: "0.1", 100: "1", 1230: "12.3", 1234: "12.34", Max: "999999999999.99", -5: "-0.05"} {
		if got := m.String(); got != want {
			t.Errorf("Money(%d) is %q, want %q", m, got, want)
		}
	}
}

// TestParseAgreesWithRationals compares with exact arithmetic of another kind.
func TestParseAgreesWithRationals(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`-?(0|[1-9][0-9]{0,14})(\.[0-9]{1,6})?([eE][+-]?[0-9]{1,2})?`).Draw(t, "text")
		compare(t, text)
	})
}

func TestEveryAmountSurvivesJSON(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := Money(rapid.Int64Range(0, int64(Max)).Draw(t, "cents"))
		text, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var got Money
		if err := json.Unmarshal(text, &got); err != nil || got != want {
			t.Fatalf("%d became %s became %d, %v", want, text, got, err)
		}
	})
}

func TestUnmarshalRefuses(t *testing.T) {
	t.Parallel()
	for _, text := range []string{`{}`, `{"amount":null}`, `{"amount":"1"}`, `{"amount":1.001}`, `{"amount":1,"currency":"EUR"}`, `12.34`, `[]`} {
		var m Money
		if err := json.Unmarshal([]byte(text), &m); err == nil {
			t.Errorf("%s became %d, want an error", text, m)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"12.34", "-0", "1e2", "1e-3", "99999999999999999999", "NaN", "0.1e+01", "1e99999999999999999999"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) { compare(t, text) })
}

// compare checks Parse against encoding/json's grammar and big.Rat's arithmetic.
func compare(t interface{ Fatalf(string, ...any) }, text string) {
	got, err := Parse(text)
	isNumber := json.Valid([]byte(text)) && text == strings.TrimSpace(text) && strings.Trim(text, "+-0123456789.eE") == ""
	if isNumber == errors.Is(err, ErrNotNumber) {
		t.Fatalf("Parse(%q): %v; a JSON number: %t", text, err, isNumber)
	}
	if !isNumber || tooWide(text) {
		return
	}
	r, ok := new(big.Rat).SetString(text)
	if !ok {
		t.Fatalf("big.Rat does not read %q", text)
	}
	cents := r.Mul(r, big.NewRat(100, 1))
	exact := cents.IsInt() && cents.Sign() >= 0 && cents.Cmp(big.NewRat(int64(Max), 1)) <= 0
	if exact != (err == nil) || exact && cents.Num().Int64() != int64(got) {
		t.Fatalf("Parse(%q) = %d, %v; want %s cents", text, got, err, cents.RatString())
	}
}

// tooWide keeps big.Rat from computing numbers of a million digits.
func tooWide(text string) bool {
	i := strings.IndexAny(text, "eE")
	if i < 0 {
		return false
	}
	exponent, err := strconv.Atoi(text[i+1:])
	return err != nil || exponent > 1000 || exponent < -1000
}
