// Package money is exact amounts of one currency with two decimals. An amount
// is read from the text of a JSON number and kept as whole cents; no float is
// involved anywhere. There is no setup for tests: the package is values only.
package money

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
)

// Max is the largest amount: 999,999,999,999.99. Sums of two amounts fit an
// int64 of cents with room to spare.
const Max = Money(99_999_999_999_999)

// Money is an amount in cents. On the wire it is {"amount": 12.34}.
type Money int64

// Cents returns the amount as databases store it.
func (m Money) Cents() int64 { return int64(m) }

// String returns the shortest decimal text of the amount: "12.34", "12.3", "12".
func (m Money) String() string {
	sign, cents := "", uint64(m)
	if m < 0 {
		sign, cents = "-", -cents
	}
	whole := strconv.FormatUint(cents/100, 10)
	switch fraction := cents % 100; {
	case fraction == 0:
		return sign + whole
	case fraction%10 == 0:
		return sign + whole + "." + strconv.FormatUint(fraction/10, 10)
	default:
		return fmt.Sprintf("%s%s.%02d", sign, whole, fraction)
	}
}

// MarshalJSON writes {"amount": N} with N exact.
func (m Money) MarshalJSON() ([]byte, error) {
	return []byte(`{"amount":` + m.String() + `}`), nil
}

// UnmarshalJSON reads what MarshalJSON writes, as services find it in messages.
// It returns an error for anything but an object with one exact amount.
func (m *Money) UnmarshalJSON(text []byte) error {
	var object struct {
		Amount json.RawMessage `json:"amount"`
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&object); err != nil {
		return fmt.Errorf("read money: %w", err)
	}
	if object.Amount == nil {
		return errors.New("read money: amount is missing")
	}
	parsed, err := Parse(string(object.Amount))
	if err != nil {
		return fmt.Errorf("read money: amount %w", err)
	}
	*m = parsed
	return nil
}
