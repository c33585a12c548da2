package machine

import "slices"

// A Verdict says what a reply is to a saga.
type Verdict string

// What a reply can be.
const (
	// Expected: the step waits for it.
	Expected Verdict = "expected"
	// Late: nothing waits for it any more.
	Late Verdict = "late"
	// Repeated: the same attempt has been answered before.
	Repeated Verdict = "repeated"
	// Foreign: the saga has sent no such command.
	Foreign Verdict = "foreign"
)

// Expects says what a reply to a command would be. Replies to earlier attempts at a
// step are expected too, for as long as the step waits for any.
func Expects(p *Plan, i *Instance, t Token) Verdict {
	if p == nil || i == nil {
		return Foreign
	}
	s := p.lookup(t.Step)
	st := i.Steps[t.Step]
	if s == nil || st.Phase == "" || t.Attempt < 1 {
		return Foreign
	}
	sent, open, awaited := st.Attempt, st.Open, forwardGoing(st.Phase)
	kind := s.Kind
	undoing := undoGoing(st.Phase) || st.Phase == Undone
	switch {
	case t.Undo && !undoing:
		return Foreign
	case t.Undo:
		kind, open, awaited = s.Compensation, st.UndoOpen, undoGoing(st.Phase)
	case undoing:
		sent = st.Sent
	}
	switch {
	case kind != Command || t.Attempt > sent:
		return Foreign
	case !slices.Contains(open, t.Attempt):
		return Repeated
	case !awaited || i.State.Ended():
		return Late
	}
	return Expected
}

// ExpectsEvent says what an event for a step would be, as Expects does of
// replies. An event may come before its step is begun: that is Expected once.
func ExpectsEvent(p *Plan, i *Instance, step string) Verdict {
	if p == nil || i == nil || i.State == "" {
		return Foreign
	}
	s := p.lookup(step)
	if s == nil || s.Kind != Event {
		return Foreign
	}
	st := i.Steps[step]
	switch {
	case st.Phase == Done, st.Early && (st.Phase == "" || st.Phase == Deciding):
		return Repeated
	case i.State.Ended(), i.Back:
		return Late
	case st.Phase == "", forwardGoing(st.Phase):
		return Expected
	}
	return Late
}

func (m *machine) replied(h Replied) {
	t := h.Token
	e := Entry{Step: t.Step, Undo: t.Undo, Attempt: t.Attempt, Message: h.Message, Type: h.Type, Text: h.Error}
	if !h.Success {
		e.Text = failure(h.Error)
	}
	verdict := Expects(m.p, &m.i, t)
	switch verdict {
	case Foreign:
		e.What = OccurredForeign
		m.note(e)
		return
	case Repeated:
		e.What = OccurredRepeated
		m.note(e)
		return
	}
	st := m.i.Steps[t.Step]
	if t.Undo {
		st.UndoOpen = without(st.UndoOpen, t.Attempt)
	} else {
		st.Open = without(st.Open, t.Attempt)
	}
	if verdict == Expected && !h.Success && !h.Retryable && t.Attempt >= st.Since {
		// Attempts that are still on their way are the same command, and fail as well.
		st.Round, st.Since = min(max(st.Round, 0), maxAttempt-1)+1, st.Attempt+1
	}
	m.i.Steps[t.Step] = st
	if verdict == Late {
		e.What = OccurredLateReply
		m.record(e)
		return
	}
	e.What = OccurredReply
	m.record(e)
	s := m.p.lookup(t.Step)
	switch {
	case t.Undo:
		m.undoReplied(s, st, h)
	case h.Success:
		m.done(s, Entry{})
	default:
		m.refusedBy(s, st, h)
	}
}

func (m *machine) undoReplied(s *Step, st StepState, h Replied) {
	switch {
	case h.Success:
		m.undone(s.Name, Entry{})
	case st.Phase == Undoing && h.Token.Attempt == st.Attempt:
		m.undoFailed(s, failure(h.Error))
	}
}

// refusedBy takes a failure that a participant replied. Only that of the last
// attempt decides: one that was made after the others may still succeed.
func (m *machine) refusedBy(s *Step, st StepState, h Replied) {
	if h.Token.Attempt != st.Attempt {
		return
	}
	switch {
	case st.Phase == Active:
		m.failed(s, failure(h.Error), !h.Retryable)
	case st.Phase == Backoff && !h.Retryable && !m.i.Forward:
		// It had timed out.
		m.failed(s, failure(h.Error), true)
	}
}

func failure(text string) string {
	if text == "" {
		return "failed"
	}
	return text
}
