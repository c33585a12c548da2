package sqlstore

import "time"

// A Lookup is a statement that has to find its rows by an index, however many
// there are, and stop where its limit is.
type Lookup struct {
	What, Query string
	Args        []any
	Index       string
}

// Lookups returns statements that run again and again, for the tests of stores.
func (e Engine) Lookups() []Lookup {
	now := e.Time(time.Now())
	s, t, c := NewSagas(e), NewTimers(e), NewCommands(e)
	return []Lookup{
		{"due sagas", s.text.due, []any{now, 100}, "tidings_saga_wake"},
		{"next wake", s.text.next, nil, "tidings_saga_wake"},
		{"unfinished sagas", s.text.unfinished, []any{"t", "f", "1", 100}, "tidings_saga_open"},
		{"due messages", t.take, []any{now, 100}, "tidings_timer_due"},
		{"next message", t.next, nil, "tidings_timer_due"},
		{"locks of a saga", c.text.locksOf, []any{"p", "t", "1"}, "tidings_command_lock_owner"},
		{"first aside", c.text.first, []any{"p", "t"}, "tidings_command_aside_target"},
		{"broken locks", c.text.broken, []any{"p", "p", 100}, "tidings_command_aside_target"},
		{"old answers", c.text.oldAnswers, []any{"p", now, 100}, "tidings_command_answer_age"},
		{"old replies", NewReplies(e).old, []any{now, 100}, "tidings_reply_age"},
	}
}
