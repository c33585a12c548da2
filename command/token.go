package command

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"tidings.example"
)

const (
	// tokenVersion begins each token.
	tokenVersion = "tidings-reply-1."
	// MaxToken bounds a token, in bytes.
	MaxToken = 8 << 10
)

// ErrToken is what errors about texts wrap that are no tokens.
var ErrToken = errors.New("not a reply token")

// Token returns what it takes to answer the command later, as text of at most
// [MaxToken] bytes to keep in the database. It is no secret, and no protection: who has it and
// the participant's database can answer.
func (c *Of[C]) Token() string { return c.ask.token() }

// A ticket is an ask with what the reply tells of its cause.
type ticket struct {
	ask
	Cause       string `json:"m,omitempty"`
	Correlation string `json:"co,omitempty"`
	Traceparent string `json:"tp,omitempty"`
}

func (a *ask) token() string {
	t := ticket{ask: *a}
	if a.message != nil {
		t.Cause, t.Correlation = a.message.ID, a.message.Headers[tidings.HeaderCorrelationID]
		t.Traceparent = a.message.Headers[tidings.HeaderTraceparent]
	}
	// Ids are that short where Tidings makes them.
	if len(t.Correlation) > maxReference {
		t.Correlation = ""
	}
	if len(t.Traceparent) > maxReference {
		t.Traceparent = ""
	}
	b, err := json.Marshal(t)
	if err != nil {
		// It has only texts and numbers, which cannot fail.
		panic(err)
	}
	return tokenVersion + base64.RawURLEncoding.EncodeToString(b)
}

// parseToken reads a token. The error wraps ErrToken.
func parseToken(s string) (t ticket, err error) {
	switch {
	case len(s) > MaxToken:
		return t, fmt.Errorf("%w: it has %d bytes, more than %d", ErrToken, len(s), MaxToken)
	case !strings.HasPrefix(s, tokenVersion):
		return t, fmt.Errorf("%w: it does not begin with %q", ErrToken, tokenVersion)
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(s[len(tokenVersion):])
	if err != nil {
		return t, fmt.Errorf("%w: %w", ErrToken, err)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&t); err != nil {
		return t, fmt.Errorf("%w: %w", ErrToken, err)
	}
	if _, err := d.Token(); err != io.EOF {
		return t, fmt.Errorf("%w: there is more than one value in it", ErrToken)
	}
	if err := t.checkTicket(); err != nil {
		return t, fmt.Errorf("%w: %w", ErrToken, err)
	}
	return t, nil
}

func (t *ticket) checkTicket() error {
	switch {
	case tidings.ValidateName("participant", t.Participant) != nil:
		return tidings.ValidateName("participant", t.Participant)
	case t.CommandID == "":
		return errors.New("it names no command")
	case t.Round < 0:
		return errors.New("its round is below 0")
	case len(t.Cause) > tidings.MaxID || len(t.Correlation) > maxReference || len(t.Traceparent) > maxReference || len(t.Locked) > maxTarget:
		return errors.New("a part of it is too long")
	}
	return t.check()
}
