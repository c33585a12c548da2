package web

import (
	"net/http"
	"net/url"
	"strconv"
)

// Bounds of one page of a list.
const (
	DefaultLimit = 100
	MaxLimit     = 1000
)

// A Page is the part of a list that a request asks for: the entries, newest
// first, that come after the one with the id After.
type Page struct {
	// After is empty for the first page.
	After string
	Limit int
	path  string
}

// ReadPage reads the parameters limit and after. The error is a [*Problem].
func ReadPage(r *http.Request) (Page, error) {
	p := Page{Limit: DefaultLimit, path: r.URL.EscapedPath()}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return p, NewProblem(http.StatusBadRequest, "the query cannot be read: %v", err)
	}
	if query.Has("limit") {
		n, err := strconv.Atoi(query.Get("limit"))
		if err != nil || n < 1 || n > MaxLimit {
			return p, BadField("limit", "must be a number from 1 to %d", MaxLimit)
		}
		p.Limit = n
	}
	if query.Has("after") {
		if p.After = query.Get("after"); !ValidID(p.After) {
			return p, BadField("after", "must be what a page's next says")
		}
	}
	return p, nil
}

// Cut takes one entry more than Limit as the sign that the list goes on. It
// then returns the entries of the page and the address of the next one, which
// it also puts in the Link header; otherwise next is empty.
func Cut[T any](w http.ResponseWriter, p Page, entries []T, id func(T) string) (page []T, next string) {
	if entries == nil {
		entries = []T{} // [] and not null
	}
	if len(entries) <= p.Limit {
		return entries, ""
	}
	entries = entries[:p.Limit]
	query := url.Values{"after": {id(entries[p.Limit-1])}}
	if p.Limit != DefaultLimit {
		query.Set("limit", strconv.Itoa(p.Limit))
	}
	next = p.path + "?" + query.Encode()
	w.Header().Set("Link", "<"+next+`>; rel="next"`)
	return entries, next
}
