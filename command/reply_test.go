package command_test

import (
	"errors"
	"strings"
	"testing"

	"tidings.example"
	"tidings.example/command"
)

func reply(typ, payload string, headers tidings.Headers) *tidings.Message {
	return &tidings.Message{ID: "r1", Type: typ, ContentType: "application/json", Headers: headers, Payload: []byte(payload)}
}

func TestParseReply(t *testing.T) {
	t.Parallel()
	r, err := command.ParseReply(reply("CreditReserved", `{"Left":3}`, tidings.Headers{"outcome": "failure", "commandid": "c1", "participant": "customers",
		"sagatype": "order", "sagaid": "7", "sagastep": "reserve/2", "locked": "Customer/ada", "retryable": "true"}))
	if err != nil || r.Type != "CreditReserved" || r.Success || !r.Retryable || r.CommandID != "c1" || r.Participant != "customers" ||
		r.Saga != (command.Saga{Type: "order", ID: "7"}) || r.Step != "reserve/2" || r.Locked != "Customer/ada" || r.Message.ID != "r1" {
		t.Errorf("reply %+v, %v", r, err)
	}
	for want, h := range map[string]tidings.Headers{
		`no header "outcome"`:            {"commandid": "c1"},
		`"outcome" is "maybe"`:           {"commandid": "c1", "outcome": "maybe"},
		`no header "commandid"`:          {"outcome": "success"},
		`"sagatype" and "sagaid" it has`: {"outcome": "success", "commandid": "c1", "sagaid": "7"},
		`success with a header`:          {"outcome": "success", "commandid": "c1", "retryable": "true"},
		`"retryable" or "failure"`:       {"outcome": "success", "commandid": "c1", "failure": "rejected"},
	} {
		if r, err := command.ParseReply(reply("T", "{}", h)); !errors.Is(err, command.ErrNoReply) || !strings.Contains(err.Error(), want) || r.Message != nil {
			t.Errorf("%v: got %+v, %v", h, r, err)
		}
	}
}

func TestProblemOfAReply(t *testing.T) {
	t.Parallel()
	failure := tidings.Headers{"outcome": "failure", "commandid": "c1", "failure": "rejected"}
	for _, c := range []struct {
		m    *tidings.Message
		want string
	}{
		{reply("CreditReserved", "{}", tidings.Headers{"outcome": "success", "commandid": "c1"}), ""},
		{reply("LimitExceeded", "{}", tidings.Headers{"outcome": "failure", "commandid": "c1"}), "LimitExceeded"},
		{reply(command.TypeFailed, `{"failure":"rejected","detail":"no money"}`, failure), "rejected: no money"},
		{reply(command.TypeFailed, `{"failure":"rejected"`, failure), "rejected"},
		{reply(command.TypeFailed, `{"detail":"no money"}`, tidings.Headers{"outcome": "failure", "commandid": "c1"}), "no money"},
	} {
		r, err := command.ParseReply(c.m)
		if err != nil || r.Problem() != c.want {
			t.Errorf("%s: %q, %v; want %q", c.m.Payload, r.Problem(), err, c.want)
		}
	}
}

func TestReplyAs(t *testing.T) {
	t.Parallel()
	parse := func(m *tidings.Message) command.Replied {
		r, err := command.ParseReply(m)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	ok := tidings.Headers{"outcome": "success", "commandid": "c1"}
	if v, err := command.ReplyAs[reserved](parse(reply("CreditReserved", `{"Left":3}`, ok))); err != nil || v.Left != 3 {
		t.Errorf("%+v, %v", v, err)
	}
	if v, err := command.ReplyAs[*limitExceeded](parse(reply("LimitExceeded", `{"By":4}`, ok))); err != nil || v.By != 4 {
		t.Errorf("%+v, %v", v, err)
	}
	_, err := command.ReplyAs[reserved](parse(reply("LimitExceeded", `{"By":4}`, ok)))
	var other *command.TypeError
	if !errors.As(err, &other) || other.Got != "LimitExceeded" || other.Want != "CreditReserved" {
		t.Errorf("another type: %v", err)
	}
	if _, err = command.ReplyAs[reserved](parse(reply("CreditReserved", `{"Left":`, ok))); err == nil || !strings.Contains(err.Error(), "decode reply CreditReserved") {
		t.Errorf("not JSON: %v", err)
	}
	if v, err := command.ReplyAs[command.Problem](parse(reply(command.TypeFailed, `{"failure":"refused","detail":"d"}`, ok))); err != nil || v.Detail != "d" {
		t.Errorf("problem: %+v, %v", v, err)
	}
}

func FuzzParseReply(f *testing.F) {
	f.Add("CreditReserved", "success", "c1", "order", "7", "true", "", `{"Left":1}`)
	f.Add(command.TypeFailed, "failure", "c1", "", "", "", "rejected", `{"detail":1}`)
	f.Fuzz(func(t *testing.T, typ, outcome, id, sagaType, sagaID, retryable, failure, payload string) {
		m := reply(typ, payload, tidings.Headers{"outcome": outcome, "commandid": id, "sagatype": sagaType, "sagaid": sagaID,
			"retryable": retryable, "failure": failure})
		r, err := command.ParseReply(m)
		if err != nil {
			if !errors.Is(err, command.ErrNoReply) {
				t.Errorf("error %v", err)
			}
			return
		}
		if r.CommandID == "" || r.Success != (outcome == "success") || r.Success && (r.Retryable || r.Failure != "" || r.Problem() != "") {
			t.Errorf("reply %+v", r)
		}
		_, _ = command.ReplyAs[reserved](r)
		_, _ = command.ReplyAs[command.Problem](r)
	})
}
