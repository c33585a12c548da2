package wal

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math"
	"strconv"
	"time"
)

// microsToYear2000 is what PostgreSQL's times are counted from, in Unix time.
const microsToYear2000 = 946684800 * 1_000_000

var errValue = errors.New("has a value that cannot be decoded")

// binaryOf returns a value in the binary format that a RowDecoder takes. scratch is
// where it may put it.
func binaryOf(typ uint32, format byte, value, scratch []byte) ([]byte, error) {
	if format == 'b' {
		return fromBinary(typ, value)
	}
	return fromText(typ, value, scratch)
}

func fromBinary(typ uint32, value []byte) ([]byte, error) {
	switch typ {
	case typeJSONB:
		if len(value) == 0 || value[0] != 1 {
			return value, errValue
		}
		return value[1:], nil
	case typeUUID:
		if len(value) != 16 {
			return value, errValue
		}
		text := make([]byte, 0, 36)
		for i, b := range value {
			if i == 4 || i == 6 || i == 8 || i == 10 {
				text = append(text, '-')
			}
			text = hex.AppendEncode(text, []byte{b})
		}
		return text, nil
	case typeInt8, typeTimestamp, typeTimestamptz:
		if len(value) != 8 {
			return value, errValue
		}
	}
	return value, nil
}

// fromText is for servers before version 14. The connection has DateStyle ISO, TimeZone UTC
// and bytea_output hex.
func fromText(typ uint32, value, scratch []byte) ([]byte, error) {
	switch typ {
	case typeInt8:
		n, err := strconv.ParseInt(string(value), 10, 64)
		if err != nil {
			return value, errValue
		}
		return binary.BigEndian.AppendUint64(scratch, uint64(n)), nil
	case typeTimestamp, typeTimestamptz:
		micros, err := parseTime(string(value))
		if err != nil {
			return value, errValue
		}
		return binary.BigEndian.AppendUint64(scratch, uint64(micros)), nil
	case typeBytea:
		if len(value) < 2 || value[0] != '\\' || value[1] != 'x' {
			return value, errValue
		}
		// In place: a byte is written where two digits were read.
		n, err := hex.Decode(value, value[2:])
		if err != nil {
			return value, errValue
		}
		return value[:n], nil
	}
	return value, nil
}

// parseTime returns microseconds since the year 2000.
func parseTime(text string) (int64, error) {
	switch text {
	case "infinity":
		return math.MaxInt64, nil
	case "-infinity":
		return math.MinInt64, nil
	}
	for _, layout := range []string{"2006-01-02 15:04:05.999999-07", "2006-01-02 15:04:05.999999"} {
		if at, err := time.Parse(layout, text); err == nil {
			return at.UnixMicro() - microsToYear2000, nil
		}
	}
	return 0, errValue
}
