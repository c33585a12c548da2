// Package machine decides what a saga does next. It is a state machine without
// I/O: [Advance] takes a plan, an instance and an input, and returns the instance
// as it is then and what is to be done. Package saga does it, in the
// transaction that stores the instance; tests play it by scripts.
//
// It knows names, phases, attempts and times, but no data: whether a condition
// holds, and what a local step came to, are inputs.
//
// # Forward
//
// Steps are done in the plan's order, members of groups at the same time. A
// step that is refused has no effect, and the saga compensates. A failure that may pass
// is tried again as the step's Retry says; attempts at a command are
// numbered, and the participant knows them as one command, which it does once.
// A success counts whichever attempt it answers, for as long as the step waits;
// of failures only that of the last attempt decides, since those before it may be
// overtaken by a success. A step that is given up while an attempt is unanswered
// may take effect yet: if it has a compensation, it is undone as if it were done, by a command that
// follows the original in the same lane; if it has none, it counts as refused.
//
// Behind the pivot nothing is refused: every failure is tried again as the
// plan's Undo says, and then waits for an operator. An event, or a child saga,
// that does not come in time is not asked for again: that waits for an operator at once.
//
// # Backward
//
// What was done is undone in reverse order: one step at a time, members of one
// group together. Every failure is tried again as the plan's Undo says, and then
// waits for an operator, while what is undone beside it goes on. A member that lost in a
// group of which the first success counts is undone at once, while the saga
// goes forward; no saga ends before that is settled.
//
// # What comes when it should not
//
// Replies and events that nobody waits for, results that were not asked for and
// requests that make no sense are noted in the journal, up to a limit for each
// saga, and change nothing else. So does everything that comes after the end,
// except for a parent's request to compensate a child that has completed.
package machine
