package broker

import (
	"crypto/sha256"
	"encoding/hex"
	"unicode/utf8"

	"tidings.example"
)

// validText reports whether a value can stand in a message: UTF-8 without
// control characters, not longer than limit bytes.
func validText(s string, limit int) bool {
	if len(s) > limit {
		return false
	}
	ascii := true
	for i := range len(s) {
		c := s[i]
		if c < ' ' || c == 0x7f {
			return false
		}
		ascii = ascii && c < utf8.RuneSelf
	}
	return ascii || utf8.ValidString(s)
}

func validType(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c > '~' {
			return false
		}
	}
	return len(s) <= tidings.MaxType
}

func validHeaderName(s string) bool {
	if s == "" || len(s) > tidings.MaxHeaderName {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

// textKey turns the key of a record into a message's key. Another producer's
// may be any bytes: what is not text is written in hexadecimal, what is too
// long as its hash, so that different keys stay different and one key stays one.
func textKey(key string) string {
	if validText(key, tidings.MaxKey) {
		return key
	}
	if 2+2*len(key) <= tidings.MaxKey {
		return "0x" + hex.EncodeToString([]byte(key))
	}
	sum := sha256.Sum256([]byte(key))
	return "sha256:" + hex.EncodeToString(sum[:])
}
