package main

import (
	"strconv"
	"strings"
	"time"

	"tidings.example/admin"
)

// sagaEntryJSON is one entry of a journal as commands print it for programs.
type sagaEntryJSON struct {
	Number  int       `json:"number"`
	At      time.Time `json:"at"`
	What    string    `json:"what"`
	Step    string    `json:"step,omitempty"`
	Undo    bool      `json:"undo,omitempty"`
	Attempt int       `json:"attempt,omitempty"`
	// Message and MessageType are of the message that the entry is about.
	Message     string `json:"message,omitempty"`
	MessageType string `json:"messageType,omitempty"`
	Text        string `json:"text,omitempty"`
}

func entriesJSON(entries []admin.SagaEntry) []sagaEntryJSON {
	all := make([]sagaEntryJSON, len(entries))
	for i, e := range entries {
		all[i] = sagaEntryJSON{Number: e.Number, At: e.At.UTC(), What: e.What, Step: e.Step, Undo: e.Undo,
			Attempt: e.Attempt, Message: e.Message, MessageType: e.Type, Text: e.Text}
	}
	return all
}

// timeline is a journal for people, as rows of a table: when after the start, in
// which direction, which step, what, and what is known of it.
func timeline(entries []admin.SagaEntry, start time.Time) [][]string {
	rows := make([][]string, len(entries))
	for i, e := range entries {
		arrow := ""
		switch {
		case e.Undo:
			arrow = "< "
		case e.Step != "":
			arrow = "> "
		}
		rows[i] = []string{strconv.Itoa(e.Number), sinceStart(e.At.Sub(start)), arrow + e.Step, e.What, entryDetail(e)}
	}
	return rows
}

// sinceStart is the time since a saga's start; less than 0 where a clock was set back.
func sinceStart(d time.Duration) string {
	if d < 0 {
		return "-" + span(-d)
	}
	return "+" + span(d)
}

// entryDetail is the attempt after the first, the message's type and the text.
func entryDetail(e admin.SagaEntry) string {
	var parts []string
	if e.Attempt > 1 {
		parts = append(parts, "attempt "+strconv.Itoa(e.Attempt))
	}
	if e.Type != "" {
		parts = append(parts, e.Type)
	}
	if e.Text != "" && e.Text != e.Type {
		parts = append(parts, e.Text)
	}
	return shorten(strings.Join(parts, "; "), 200)
}
