package command

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"tidings.example"
	"tidings.example/inbox"
)

// typeLater is the type of what is remembered of a command that is answered later.
const typeLater = "tidings.later"

// maxPlainID is how long a command's id may be to be remembered as it is.
const maxPlainID = 200

// memoryKey is under which id an answer is remembered: the command's own; then,
// for what came later, with a suffix. No two of them are the same, since what has
// the separator itself is hashed.
func (a *ask) memoryKey(late bool) string {
	id := a.CommandID
	if len(id) > maxPlainID || strings.Contains(id, "#") {
		sum := sha256.Sum256([]byte(id))
		id = "#" + hex.EncodeToString(sum[:])
	}
	if a.Round > 0 {
		id += "#" + strconv.Itoa(a.Round)
	}
	if late {
		id += "#later"
	}
	return id
}

func (r *Receiver[Tx]) remember(ctx context.Context, tx Tx, a *ask, late bool, answer *tidings.Message) error {
	m := *answer
	if m.Time.IsZero() {
		m.Time = r.cfg.now()
	}
	if err := r.store.Remember(ctx, tx, a.Participant, a.memoryKey(late), &m, r.cfg.now()); err != nil {
		return fmt.Errorf("remember the answer to command %s: %w", a.CommandID, err)
	}
	return nil
}

func (r *Receiver[Tx]) answered(ctx context.Context, tx Tx, a *ask, late bool) (*tidings.Message, error) {
	m, err := r.store.Answered(ctx, tx, a.Participant, a.memoryKey(late))
	if err != nil {
		return nil, fmt.Errorf("look for the answer to command %s: %w", a.CommandID, err)
	}
	return m, nil
}

// recall gives the remembered answer to a repeated command again. settled is
// false for a command that is to be handled: it came for the first time, or the
// last answer came later and was a retryable failure.
func (r *Receiver[Tx]) recall(ctx context.Context, tx Tx, a *ask) (settled bool, err error) {
	for ; ; a.Round++ {
		m, err := r.answered(ctx, tx, a, false)
		if err != nil || m == nil {
			return false, err
		}
		if m.Type != typeLater {
			return true, r.repeat(ctx, tx, a, m)
		}
		if m, err = r.answered(ctx, tx, a, true); err != nil {
			return false, err
		}
		if m == nil {
			// Its answer is still to come, and goes to the one who asked first.
			r.cfg.logger.Info("repeated command waits for its answer", "receiver", r.name, "command", a.CommandID)
			return true, nil
		}
		if m.Headers[HeaderRetryable] != "true" {
			return true, r.repeat(ctx, tx, a, m)
		}
	}
}

// repeat sends an answer again, to the one who asks now.
func (r *Receiver[Tx]) repeat(ctx context.Context, tx Tx, a *ask, m *tidings.Message) error {
	a.Locked = m.Headers[HeaderLocked]
	again := tidings.Message{ID: tidings.NewID(), Channel: a.ReplyChannel, Key: a.ReplyKey, Type: m.Type,
		ContentType: m.ContentType, Headers: a.head(m.Headers[HeaderOutcome]), Payload: m.Payload}
	set(again.Headers, HeaderRetryable, m.Headers[HeaderRetryable])
	set(again.Headers, HeaderFailure, m.Headers[HeaderFailure])
	return r.reply(ctx, tx, a, again)
}

// ErrAnswered is returned for a command that was answered before.
var ErrAnswered = errors.New("the command was answered before")

// Answer answers a command whose handler said [Later], in tx: the reply is sent
// if and only if tx commits. It may be called in any process of the participant's service.
//
// The error wraps [ErrToken] for a text that is no token, [ErrAnswered] where the
// command was answered before and that is still remembered, and
// [tidings.ErrInvalid] for a reply that cannot be sent; nothing has been written then. After any other
// error tx should be rolled back.
func (r *Receiver[Tx]) Answer(ctx context.Context, tx Tx, token string, answer Answer) error {
	if len(r.errs) > 0 {
		return errf("receiver %q: %w", r.name, r.Err())
	}
	t, err := parseToken(token)
	if err != nil {
		return errf("answer: %w", err)
	}
	p, ok := r.named[t.Participant]
	switch {
	case !ok:
		return errf("answer: receiver %q has no participant %q", r.name, t.Participant)
	case answer.kind == deferred:
		return errf("answer: it was deferred already: answer with a success or a failure")
	}
	a := &t.ask
	reply, err := answer.message(a, p.codecOrJSON())
	if err != nil {
		return errf("answer command %s: %w", a.CommandID, err)
	}
	set(reply.Headers, tidings.HeaderCausationID, t.Cause)
	set(reply.Headers, tidings.HeaderCorrelationID, cmp.Or(t.Correlation, t.Cause))
	set(reply.Headers, tidings.HeaderTraceparent, t.Traceparent)
	before, err := r.answered(ctx, tx, a, true)
	switch {
	case err != nil:
		return errf("answer: %w", err)
	case before != nil:
		return errf("answer command %s: %w", a.CommandID, ErrAnswered)
	}
	if err := r.reply(ctx, tx, a, reply); err != nil {
		return errf("answer: %w", err)
	}
	if err := r.remember(ctx, tx, a, true, &reply); err != nil {
		return errf("answer: %w", err)
	}
	return nil
}

func permanentIfInvalid(err error) error {
	if errors.Is(err, tidings.ErrInvalid) {
		return inbox.Permanent(err)
	}
	return err
}
