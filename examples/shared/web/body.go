package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"unicode/utf8"
)

// MaxBody bounds the body of a request, in bytes.
const MaxBody = 64 << 10

// ReadObject reads a request's body as a JSON object that has exactly these
// members. The error is a [*Problem]: 413, 415, or 400 with the field.
func ReadObject(w http.ResponseWriter, r *http.Request, members ...Member) error {
	body, err := readBody(w, r)
	if err != nil {
		return err
	}
	if len(bytes.TrimSpace(body)) == 0 {
		return NewProblem(http.StatusBadRequest, "the body is empty: send a JSON object")
	}
	return readObject(body, members)
}

// ReadNothing is for a request that carries no data: no body, or an object
// without members.
func ReadNothing(w http.ResponseWriter, r *http.Request) error {
	if r.ContentLength == 0 {
		return nil
	}
	body, err := readBody(w, r)
	if err != nil || len(bytes.TrimSpace(body)) == 0 {
		return err
	}
	return readObject(body, nil)
}

func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if err := checkType(r); err != nil {
		return nil, err
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxBody))
	var tooLong *http.MaxBytesError
	switch {
	case errors.As(err, &tooLong):
		return nil, NewProblem(http.StatusRequestEntityTooLarge, "the body has more than %d bytes", MaxBody)
	case err != nil:
		return nil, NewProblem(http.StatusBadRequest, "the body cannot be read: %v", err)
	case !utf8.Valid(body):
		return nil, NewProblem(http.StatusBadRequest, "the body is not valid UTF-8")
	}
	return body, nil
}

func checkType(r *http.Request) error {
	if coding := r.Header.Get("Content-Encoding"); coding != "" && coding != "identity" {
		return NewProblem(http.StatusUnsupportedMediaType, "Content-Encoding is %q: send the body as it is", coding)
	}
	given := r.Header.Get("Content-Type")
	if given == "" {
		return NewProblem(http.StatusUnsupportedMediaType, "Content-Type is missing: send application/json")
	}
	media, _, err := mime.ParseMediaType(given)
	if err != nil || media != "application/json" {
		return NewProblem(http.StatusUnsupportedMediaType, "Content-Type is %q: send application/json", given)
	}
	return nil
}

func readObject(body []byte, members []Member) error {
	d := json.NewDecoder(bytes.NewReader(body))
	if err := object(d, "", members); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return NewProblem(http.StatusBadRequest, "the body goes on after the JSON object")
	}
	return nil
}
