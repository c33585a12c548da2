package web

import (
	"fmt"
	"net/http"
)

// A Problem is an error for the client: a problem document (RFC 9457) with the
// field that is wrong as its extension member.
type Problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	// Field is the path of the member or parameter, as in "orderTotal.amount".
	Field string `json:"field,omitempty"`
}

func (p *Problem) Error() string { return p.Detail }

// NewProblem returns a problem with an HTTP status.
func NewProblem(status int, detail string, args ...any) *Problem {
	return &Problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: fmt.Sprintf(detail, args...)}
}

// BadField returns the problem that a field breaks a rule, with status 400. The
// rule continues a sentence that begins with the field's name.
func BadField(field, rule string, args ...any) *Problem {
	p := NewProblem(http.StatusBadRequest, "%s %s", field, fmt.Sprintf(rule, args...))
	p.Field = field
	return p
}

// NotFound returns the problem that something does not exist.
func NotFound(what string, args ...any) *Problem {
	return NewProblem(http.StatusNotFound, what+" does not exist", args...)
}

// WriteProblem answers with a problem.
func WriteProblem(w http.ResponseWriter, p *Problem) {
	writeBody(w, p.Status, "application/problem+json", p)
}
