// Package web is what the services of the samples share about HTTP: strict JSON
// bodies whose errors name the field, problem documents (RFC 9457), routes that
// answer 404 and 405 in the same form, and pages of lists.
//
// A handler is a [Func]: it returns an error instead of writing one. To test a
// handler, serve the [Routes] with net/http/httptest.
package web
