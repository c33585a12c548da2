package machine

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// maxName is how long the name of a step is, in characters.
const maxName = 200

// maxAttempt bounds the numbers of attempts.
const maxAttempt = 1_000_000_000

// String returns the token as a header's value: "step/attempt" or "step/attempt/undo".
func (t Token) String() string {
	s := t.Step + "/" + strconv.Itoa(t.Attempt)
	if t.Undo {
		s += "/undo"
	}
	return s
}

// ParseToken reads what String has written, and nothing else.
func ParseToken(s string) (Token, error) {
	if len(s) > maxName+len("/1000000000/undo") {
		return Token{}, errors.New("token of a saga's step is too long")
	}
	step, rest, _ := strings.Cut(s, "/")
	number, undo := strings.CutSuffix(rest, "/undo")
	attempt, err := strconv.Atoi(number)
	t := Token{Step: step, Undo: undo, Attempt: attempt}
	if err != nil || attempt < 1 || attempt > maxAttempt || !validName(step) || t.String() != s {
		return Token{}, fmt.Errorf("token of a saga's step %q is not step/attempt or step/attempt/undo", s)
	}
	return t, nil
}

// validName reports whether a name is 1 to 200 letters, digits, '.', '_' and '-'.
func validName(s string) bool {
	for _, c := range []byte(s) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '.', c == '_', c == '-':
		default:
			return false
		}
	}
	return s != "" && len(s) <= maxName
}
