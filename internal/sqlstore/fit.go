package sqlstore

import "tidings.example/saga/machine"

// FitStep returns what is kept of the step that a saga is at.
func FitStep(s string) string { return cut(s, maxStep) }

// FitError returns what is kept of a saga's last error.
func FitError(s string) string { return cut(s, maxError) }

// FitEntry returns an entry of a saga's journal as it is kept.
func FitEntry(e machine.Entry) machine.Entry {
	e.What = machine.Occurrence(cut(string(e.What), maxWhat))
	e.Step, e.Message, e.Type, e.Text = cut(e.Step, maxStep), cut(e.Message, maxName), cut(e.Type, maxName), Reason(e.Text)
	return e
}
