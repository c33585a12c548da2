package machine

import (
	"bytes"
	"fmt"
	"io"
	"strings"
)

// Mermaid draws a plan as a flow chart in the language of Mermaid: steps from top to
// bottom, groups side by side, compensations by dotted arrows.
func Mermaid(w io.Writer, p *Plan) error {
	d := &drawing{}
	d.printf("flowchart TD")
	title := p.Name
	if p.Timeout > 0 {
		title += "<br/>timeout " + short(p.Timeout)
	}
	d.printf("  start([%s])", label(title))
	ends := []end{{node: "start"}}
	for i := range p.Steps {
		ends = d.step(&p.Steps[i], fmt.Sprintf("s%d", i+1), ends)
	}
	d.printf("  completed([completed])")
	d.arrows(ends, "completed")
	d.printf("  classDef pivot stroke-width:4px")
	d.printf("  classDef undo stroke-dasharray:4 3")
	_, err := w.Write(d.Bytes())
	return err
}

type drawing struct{ bytes.Buffer }

// An end is a node from which an arrow leads to the next step.
type end struct{ node, text string }

func (d *drawing) printf(format string, args ...any) { fmt.Fprintf(d, format+"\n", args...) }

func (d *drawing) arrows(from []end, to string) {
	for _, e := range from {
		if e.text != "" {
			d.printf("  %s -->|%s| %s", e.node, e.text, to)
		} else {
			d.printf("  %s --> %s", e.node, to)
		}
	}
}

// step draws a step behind the ends, and returns its own.
func (d *drawing) step(s *Step, node string, from []end) []end {
	var passed []end
	if s.Conditional {
		d.printf("  %sif{%s}", node, label(s.Name+"?"))
		d.arrows(from, node+"if")
		from = []end{{node + "if", "yes"}}
		passed = []end{{node + "if", "no"}}
	}
	if s.Kind == Group {
		return append(d.group(s, node, from), passed...)
	}
	d.box(s, node)
	d.arrows(from, node)
	return append([]end{{node: node}}, passed...)
}

func (d *drawing) group(s *Step, node string, from []end) []end {
	d.printf("  %sfork{{%s}}", node, label(s.Name+"<br/>"+s.does()))
	d.arrows(from, node+"fork")
	var ends []end
	for i := range s.Members {
		ends = append(ends, d.step(&s.Members[i], fmt.Sprintf("%sm%d", node, i+1), []end{{node: node + "fork"}})...)
	}
	d.printf("  %sjoin{{%s}}", node, label(string(s.Join)))
	d.arrows(ends, node+"join")
	if s.Pivot {
		d.printf("  class %sjoin pivot", node)
	}
	return []end{{node: node + "join"}}
}

// box draws a step without members, and its compensation.
func (d *drawing) box(s *Step, node string) {
	text := s.Name + "<br/>" + s.does()
	if s.Timeout > 0 && s.Kind != Wait {
		text += "<br/>timeout " + short(s.Timeout)
	}
	if s.Pivot {
		text += "<br/>pivot"
	}
	d.printf("  %s[%s]", node, label(text))
	if s.Pivot {
		d.printf("  class %s pivot", node)
	}
	if undo := s.undoes(); undo != "" {
		d.printf("  %sundo[%s]", node, label("undo "+s.Name+"<br/>"+undo))
		d.printf("  %s -.-> %sundo", node, node)
		d.printf("  class %sundo undo", node)
	}
}

// label quotes a text for Mermaid. Line breaks are kept.
func label(s string) string {
	parts := strings.Split(s, "<br/>")
	for i := range parts {
		parts[i] = strings.NewReplacer("&", "#amp;", `"`, "#quot;", "<", "#lt;", ">", "#gt;", "#", "#35;").Replace(oneLine(parts[i]))
	}
	return `"` + strings.Join(parts, "<br/>") + `"`
}
