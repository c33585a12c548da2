package main

import (
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"time"
	"unicode/utf8"

	"tidings.example"
)

// messageJSON is a message as commands print it for programs.
type messageJSON struct {
	ID          string            `json:"id"`
	Source      string            `json:"source,omitempty"`
	Channel     string            `json:"channel"`
	Key         string            `json:"key"`
	Type        string            `json:"type"`
	Subject     string            `json:"subject,omitempty"`
	Time        time.Time         `json:"time"`
	ContentType string            `json:"contentType"`
	Headers     map[string]string `json:"headers,omitempty"`
	// Payload is text; where the payload is none, PayloadBase64 holds it.
	// Lists have neither.
	Payload       *string `json:"payload,omitempty"`
	PayloadBase64 *string `json:"payloadBase64,omitempty"`
}

func newMessageJSON(m *tidings.Message) messageJSON {
	return messageJSON{ID: m.ID, Source: m.Source, Channel: m.Channel, Key: m.Key, Type: m.Type, Subject: m.Subject,
		Time: m.Time.UTC(), ContentType: m.ContentType, Headers: m.Headers}
}

// withPayload adds the payload.
func (m messageJSON) withPayload(payload []byte) messageJSON {
	if utf8.Valid(payload) {
		s := string(payload)
		m.Payload = &s
		return m
	}
	s := base64.StdEncoding.EncodeToString(payload)
	m.PayloadBase64 = &s
	return m
}

// messageRows is a message as lines of a table.
func messageRows(m *tidings.Message) [][]string {
	rows := [][]string{{"id", m.ID}, {"source", m.Source}, {"channel", m.Channel}, {"key", m.Key}, {"type", m.Type}}
	if m.Subject != "" {
		rows = append(rows, []string{"subject", m.Subject})
	}
	rows = append(rows, []string{"time", timestamp(m.Time)}, []string{"content type", m.ContentType})
	for _, name := range slices.Sorted(maps.Keys(m.Headers)) {
		rows = append(rows, []string{"header " + name, m.Headers[name]})
	}
	return append(rows, []string{"payload", fmt.Sprintf("%d bytes", len(m.Payload))})
}
