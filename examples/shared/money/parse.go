package money

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// What Parse returns. The texts continue a sentence that begins with the name
// of the field.
var (
	ErrNotNumber = errors.New("must be a JSON number such as 12.34")
	ErrInexact   = errors.New("must have no more than 2 decimals")
	ErrTooLarge  = fmt.Errorf("must be at most %s", Max)
	ErrNegative  = errors.New("must not be negative")
)

// Parse reads the text of a JSON number. It takes every spelling of a value
// that is a whole number of cents (12.34, 12.340, 1234e-2) and rounds none.
// The errors are the ones above.
func Parse(text string) (Money, error) {
	n, ok := split(text)
	if !ok {
		return 0, ErrNotNumber
	}
	// The digits of whole and fraction together, without the zeros at both
	// ends, times ten to the power of shift, are the amount in cents.
	digits := strings.TrimLeft(n.whole+n.fraction, "0")
	kept := strings.TrimRight(digits, "0")
	if kept == "" {
		return 0, nil // every zero, also -0 and 0e999
	}
	if n.negative {
		return 0, ErrNegative
	}
	exponent, err := strconv.ParseInt(n.exponent, 10, 32)
	if err != nil { // beyond an int32; only its sign matters then
		if strings.HasPrefix(n.exponent, "-") {
			return 0, ErrInexact
		}
		return 0, ErrTooLarge
	}
	shift := exponent + 2 - int64(len(n.fraction)) + int64(len(digits)-len(kept))
	switch {
	case shift < 0:
		return 0, ErrInexact
	case int64(len(kept))+shift > maxDigits:
		return 0, ErrTooLarge
	}
	cents, err := strconv.ParseInt(kept+strings.Repeat("0", int(shift)), 10, 64)
	if err != nil { // cannot be: at most maxDigits digits
		return 0, ErrTooLarge
	}
	return Money(cents), nil
}

// maxDigits is the number of digits of Max, which are all nines.
const maxDigits = 14

type number struct {
	negative                  bool
	whole, fraction, exponent string
}

// split takes a number apart by the grammar of RFC 8259, section 6.
func split(text string) (number, bool) {
	n := number{exponent: "0"}
	text, n.negative = strings.CutPrefix(text, "-")
	n.whole, text = leadingDigits(text)
	if n.whole == "" || len(n.whole) > 1 && n.whole[0] == '0' {
		return n, false
	}
	if rest, ok := strings.CutPrefix(text, "."); ok {
		if n.fraction, text = leadingDigits(rest); n.fraction == "" {
			return n, false
		}
	}
	if text != "" && (text[0] == 'e' || text[0] == 'E') {
		text = text[1:]
		sign := ""
		switch {
		case strings.HasPrefix(text, "+"):
			text = text[1:]
		case strings.HasPrefix(text, "-"):
			sign, text = "-", text[1:]
		}
		var digits string
		if digits, text = leadingDigits(text); digits == "" {
			return n, false
		}
		n.exponent = sign + digits
	}
	return n, text == ""
}

func leadingDigits(s string) (digits, rest string) {
	i := 0
	for i < len(s) && s[i] >= '0' && s[i] <= '9' {
		i++
	}
	return s[:i], s[i:]
}
