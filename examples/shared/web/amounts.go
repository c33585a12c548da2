package web

import (
	"encoding/json"
	"strconv"

	"tidings.example/examples/shared/money"
)

// Amount is a member with money in it, {"amount": 12.34}, greater than 0.
func Amount(name string, to *money.Money) Member {
	return amount(name, to, func(text string) string { return text })
}

// AmountOrText is [Amount], and takes {"amount": "12.34"} as well.
func AmountOrText(name string, to *money.Money) Member {
	return amount(name, to, func(text string) string {
		var quoted string
		if json.Unmarshal([]byte(text), &quoted) == nil && quoted != "" {
			return quoted
		}
		return text
	})
}

func amount(name string, to *money.Money, number func(text string) string) Member {
	return Object(name, Member{"amount", func(d *json.Decoder, field string) error {
		text, err := value(d, field)
		if err != nil {
			return err
		}
		m, err := money.Parse(number(string(text)))
		switch {
		case err != nil:
			return BadField(field, "%v", err)
		case m == 0:
			return BadField(field, "must be greater than 0")
		}
		*to = m
		return nil
	}})
}

// Count is a member with a whole number from 1 to limit.
func Count(name string, to *int, limit int) Member {
	return Member{name, func(d *json.Decoder, field string) error {
		text, err := value(d, field)
		if err != nil {
			return err
		}
		n, err := strconv.Atoi(string(text))
		if err != nil || n < 1 || n > limit {
			return BadField(field, "must be a whole number from 1 to %d", limit)
		}
		*to = n
		return nil
	}}
}
