package command

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"tidings.example"
	"tidings.example/codec"
)

// An Answer is what a handler makes of a command. All answers commit what the
// handler has changed, failures too: to undo it, return an error or do not change anything.
type Answer struct {
	kind      answerKind
	reply     Reply
	retryable bool
	problem   Problem
}

type answerKind int

const (
	noAnswer answerKind = iota
	succeeded
	failed
	deferred
)

// Succeed answers with a success and a reply of the user's.
func Succeed(r Reply) Answer { return Answer{kind: succeeded, reply: r} }

// Done answers with a success without a body ([TypeDone]).
func Done() Answer { return Answer{kind: succeeded} }

// Fail answers with a failure and a reply of the user's that says why. It is final: a saga compensates.
func Fail(r Reply) Answer { return Answer{kind: failed, reply: r} }

// FailRetryable answers with a failure that may pass: the same command may succeed later.
func FailRetryable(r Reply) Answer { return Answer{kind: failed, reply: r, retryable: true} }

// Refuse answers with a failure ([TypeFailed], [FailureRefused]) that has no
// type of the user's, only a text for people. It is final.
func Refuse(format string, args ...any) Answer {
	return Answer{kind: failed, problem: Problem{Failure: FailureRefused, Detail: fmt.Sprintf(format, args...)}}
}

// Later answers nothing now. Keep the command's [Of.Token], in the same transaction,
// and answer with [Receiver.Answer] from another one.
func Later() Answer { return Answer{kind: deferred} }

// fails answers with a failure that no handler chose.
func fails(failure, format string, args ...any) Answer {
	return Answer{kind: failed, problem: Problem{Failure: failure, Detail: fmt.Sprintf(format, args...)}}
}

// maxDetail bounds a problem's text, in bytes.
const maxDetail = 2000

// message returns the answer as the reply to a command. Where nobody wants one it
// has no channel.
func (x *Answer) message(a *ask, encoding codec.Codec) (m tidings.Message, err error) {
	m = tidings.Message{ID: tidings.NewID(), Channel: a.ReplyChannel, Key: a.ReplyKey}
	switch {
	case x.kind == succeeded:
		m.Headers = a.head(OutcomeSuccess)
	case x.kind == failed:
		m.Headers = a.head(OutcomeFailure)
	default:
		return m, errors.New("the handler returned neither an answer nor an error: return command.Done()")
	}
	if x.retryable {
		m.Headers[HeaderRetryable] = "true"
	}
	switch {
	case x.problem.Failure != "":
		m.Headers[HeaderFailure] = x.problem.Failure
		m.Type, m.ContentType = TypeFailed, codec.JSON{}.ContentType()
		m.Payload, err = json.Marshal(Problem{Failure: x.problem.Failure, Detail: cut(x.problem.Detail, maxDetail)})
		return m, err
	case x.reply == nil && x.kind == succeeded:
		m.Type, m.ContentType, m.Payload = TypeDone, codec.JSON{}.ContentType(), []byte("{}")
		return m, nil
	case isNil(x.reply):
		return m, errors.New("the handler's answer has a nil reply")
	}
	m.Type, m.ContentType = x.reply.ReplyType(), encoding.ContentType()
	if m.Payload, err = encoding.Encode(x.reply); err != nil {
		return m, fmt.Errorf("encode reply %s: %w", m.Type, err)
	}
	return m, nil
}

// cut returns s as valid text of at most limit bytes.
func cut(s string, limit int) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}
