package binlog

import (
	"encoding/binary"
	"fmt"
	"time"
)

// The types of columns in the log.
const (
	kindTiny          = 1
	kindShort         = 2
	kindLong          = 3
	kindFloat         = 4
	kindDouble        = 5
	kindNull          = 6
	kindTimestamp     = 7
	kindLongLong      = 8
	kindInt24         = 9
	kindDate          = 10
	kindTime          = 11
	kindDatetime      = 12
	kindYear          = 13
	kindNewDate       = 14
	kindVarchar       = 15
	kindBit           = 16
	kindTimestamp2    = 17
	kindDatetime2     = 18
	kindTime2         = 19
	kindBlobPacked    = 140 // MariaDB, COMPRESSED
	kindVarcharPacked = 141 // MariaDB, COMPRESSED
	kindVector        = 242
	kindJSON          = 245
	kindDecimal       = 246
	kindEnum          = 247
	kindSet           = 248
	kindTinyBlob      = 249
	kindMediumBlob    = 250
	kindLongBlob      = 251
	kindBlob          = 252
	kindVarString     = 253
	kindString        = 254
	kindGeometry      = 255
)

// texts are the types of text and bytes.
const texts = "\x0f\xfc\xfd\xfe"

// parseColumn takes what a table map says of one column besides its type.
func parseColumn(kind byte, meta *reading) column {
	c := column{kind: kind}
	switch kind {
	case kindFloat, kindDouble, kindBlob, kindTinyBlob, kindMediumBlob, kindLongBlob, kindGeometry, kindJSON, kindVector,
		kindBlobPacked, kindTime2, kindDatetime2, kindTimestamp2:
		c.meta = int(meta.uint(1))
	case kindVarchar, kindVarString, kindVarcharPacked, kindBit:
		c.meta = int(meta.uint(2))
	case kindDecimal, kindEnum, kindSet:
		c.meta = int(meta.uint(1))<<8 | int(meta.uint(1))
	case kindString:
		// The real type, whose bits 4 and 5 hold two more bits of the length.
		high, low := byte(meta.uint(1)), int(meta.uint(1))
		if high != 0 && high&0x30 != 0x30 {
			low |= int(high&0x30^0x30) << 4
			high |= 0x30
		}
		if high == kindEnum || high == kindSet {
			c.kind = high
		}
		c.meta = low
	}
	return c
}

// decimalBytes is the size of so many digits of a DECIMAL.
var decimalBytes = [10]int{0, 1, 1, 2, 2, 3, 3, 4, 4, 4}

// take takes the value of one column from the front of b: its content, without
// the length in front, and what follows.
func (c column) take(b []byte) (value, rest []byte, err error) {
	lengthSize, size := 0, 0
	switch c.kind {
	case kindTiny, kindYear:
		size = 1
	case kindShort:
		size = 2
	case kindInt24, kindDate, kindNewDate, kindTime:
		size = 3
	case kindLong, kindFloat, kindTimestamp:
		size = 4
	case kindLongLong, kindDouble, kindDatetime:
		size = 8
	case kindNull:
	case kindTimestamp2:
		size = 4 + (c.meta+1)/2
	case kindDatetime2:
		size = 5 + (c.meta+1)/2
	case kindTime2:
		size = 3 + (c.meta+1)/2
	case kindVarchar, kindVarString, kindVarcharPacked, kindString:
		lengthSize = 1
		if c.meta > 255 {
			lengthSize = 2
		}
	case kindBlob, kindTinyBlob, kindMediumBlob, kindLongBlob, kindGeometry, kindJSON, kindVector, kindBlobPacked:
		lengthSize = c.meta
	case kindEnum, kindSet:
		size = c.meta & 0xff
	case kindBit:
		size = (c.meta>>8*8 + c.meta&0xff + 7) / 8
	case kindDecimal:
		whole, digits := c.meta>>8-c.meta&0xff, c.meta&0xff
		if whole < 0 {
			return nil, nil, fmt.Errorf("a DECIMAL has %d digits before the point", whole)
		}
		size = whole/9*4 + decimalBytes[whole%9] + digits/9*4 + decimalBytes[digits%9]
	default:
		return nil, nil, fmt.Errorf("a column has the unknown type %d", c.kind)
	}
	if lengthSize > 0 {
		if lengthSize > 4 || len(b) < lengthSize {
			return nil, nil, errShort
		}
		for i := range lengthSize {
			size |= int(b[i]) << (8 * i)
		}
		b = b[lengthSize:]
	}
	if size > len(b) {
		return nil, nil, errShort
	}
	return b[:size:size], b[size:], nil
}

// integer returns the value of a column that holds the position.
func (c column) integer(b []byte) int64 {
	if c.kind == kindLong {
		return int64(int32(binary.LittleEndian.Uint32(b)))
	}
	return int64(binary.LittleEndian.Uint64(b))
}

// micros returns the value of a date as microseconds since 1970, in UTC, and
// false where it is no date.
func (c column) micros(b []byte) (int64, bool) {
	fraction := int64(0)
	whole := 5
	if c.kind == kindTimestamp2 {
		whole = 4
	}
	for _, digit := range b[whole:] {
		fraction = fraction<<8 | int64(digit)
	}
	for n := len(b) - whole; n < 3; n++ {
		fraction *= 100 // each byte holds two digits
	}
	if fraction > 999_999 {
		return 0, false
	}
	if c.kind == kindTimestamp2 {
		seconds := int64(binary.BigEndian.Uint32(b))
		return seconds*1_000_000 + fraction, seconds != 0
	}
	packed := int64(b[0])<<32 | int64(binary.BigEndian.Uint32(b[1:])) - 1<<39
	month := packed >> 22 & (1<<17 - 1)
	day, hour, minute, second := packed>>17&31, packed>>12&31, packed>>6&63, packed&63
	if packed < 0 || month%13 == 0 || day == 0 {
		return 0, false
	}
	at := time.Date(int(month/13), time.Month(month%13), int(day), int(hour), int(minute), int(second), 0, time.UTC)
	return at.Unix()*1_000_000 + fraction, true
}
