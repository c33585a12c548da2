package command

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"tidings.example"
)

func TestTokensComeBack(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("é", maxReference/2)
	a := ask{Participant: "customers", CommandID: strings.Repeat("c", maxCommandID), ReplyChannel: "orders.replies", ReplyKey: long, SagaType: long,
		SagaID: long, SagaStep: strings.Repeat("s", maxStep), Repeatable: true, Locked: long, Round: 3}
	a.message = &tidings.Message{ID: "m1", Headers: tidings.Headers{tidings.HeaderCorrelationID: long, tidings.HeaderTraceparent: strings.Repeat("x", 300)}}
	token := a.token()
	if len(token) > MaxToken {
		t.Errorf("token of %d bytes", len(token))
	}
	got, err := parseToken(token)
	a.message = nil
	if err != nil || got != (ticket{ask: a, Cause: "m1", Correlation: long}) {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestGarbageIsNoToken(t *testing.T) {
	t.Parallel()
	made := func(json string) string { return tokenVersion + base64.RawURLEncoding.EncodeToString([]byte(json)) }
	for want, token := range map[string]string{
		"does not begin with": "garbage",
		"it does not begin":   "tidings-reply-2.e30",
		"has 9000 bytes":      strings.Repeat("x", 9000),
		"illegal base64":      tokenVersion + "%%%",
		"unexpected end":      made("{"),
		"more than one value": made(`{"p":"x","c":"1"} {}`),
		"unknown field":       made(`{"p":"x","c":"1","zz":1}`),
		"names no command":    made(`{"p":"x"}`),
		"participant is emp":  made(`{"c":"1"}`),
		"round is below 0":    made(`{"p":"x","c":"1","n":-1}`),
		"cannot be replied":   made(`{"p":"x","c":"1","rc":"no channel"}`),
		"part of it is too":   made(`{"p":"x","c":"1","l":"` + strings.Repeat("x", 300) + `"}`),
		"sagaid\": one has a": made(`{"p":"x","c":"1","si":"7"}`),
	} {
		_, err := parseToken(token)
		if !errors.Is(err, ErrToken) || err != nil && !strings.Contains(strings.ReplaceAll(err.Error(), "unexpected EOF", "unexpected end"), want) {
			t.Errorf("%.40s: got %v, want %s", token, err, want)
		}
	}
}

func FuzzParseToken(f *testing.F) {
	a := ask{Participant: "customers", CommandID: "c1", ReplyChannel: "orders.replies", ReplyKey: "o1", SagaType: "order", SagaID: "7", Locked: "T", Round: 1}
	f.Add(a.token())
	f.Add("garbage")
	f.Add(tokenVersion + "e30")
	f.Fuzz(func(t *testing.T, s string) {
		got, err := parseToken(s)
		if err != nil {
			if !errors.Is(err, ErrToken) {
				t.Errorf("error %v", err)
			}
			return
		}
		// What was read can be answered, and written again.
		reply, err := (&Answer{kind: succeeded}).message(&got.ask, (&Participant{}).codecOrJSON())
		if err != nil || reply.Headers[HeaderCommandID] != got.CommandID {
			t.Errorf("reply %+v, %v", reply, err)
		}
		got.message = &tidings.Message{ID: got.Cause, Headers: tidings.Headers{tidings.HeaderCorrelationID: got.Correlation, tidings.HeaderTraceparent: got.Traceparent}}
		again, err := parseToken(got.ask.token())
		got.message = nil
		if err != nil || again != got {
			t.Errorf("%+v is written as %+v, %v", got, again, err)
		}
	})
}

func FuzzReplyOfTheWire(f *testing.F) {
	f.Add("id", "orders.replies", "k", "order", "7", "s")
	f.Fuzz(func(t *testing.T, id, channel, key, sagaType, sagaID, step string) {
		m := &tidings.Message{ID: "m", Headers: tidings.Headers{HeaderParticipant: "p", HeaderCommandID: id, HeaderReplyChannel: channel, HeaderReplyKey: key,
			HeaderSagaType: sagaType, HeaderSagaID: sagaID, HeaderSagaStep: step}}
		a := askOf(m)
		if a.check() != nil || !a.wanted() {
			return
		}
		got, err := parseToken(a.token())
		if err != nil || got.CommandID != a.CommandID || got.ReplyKey != a.ReplyKey || got.SagaStep != a.SagaStep {
			t.Errorf("%+v has the token %+v, %v", a, got, err)
		}
	})
}
