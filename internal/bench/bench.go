// Package bench measures what Tidings costs and how fast it is, on the user's
// own servers, and beside each figure the floor: what the same database or
// broker does without Tidings, in the same run. `tidings bench` prints it.
package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"slices"
	"text/tabwriter"
	"time"
)

// A Report is what one benchmark found.
type Report struct {
	Bench   string   `json:"bench"`
	Store   string   `json:"store"`
	Broker  string   `json:"broker,omitempty"`
	CPUs    int      `json:"cpus"`
	Work    string   `json:"work"`
	Figures []Figure `json:"figures"`
}

// A Figure is one measured number. Where there is a floor, Ratio is the figure
// divided by the floor of that name.
type Figure struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
	Ratio float64 `json:"ratio,omitempty"`
	Floor string  `json:"floor,omitempty"`
}

func newReport(name, store, broker, work string, args ...any) *Report {
	return &Report{Bench: name, Store: store, Broker: broker, CPUs: runtime.NumCPU(), Work: fmt.Sprintf(work, args...)}
}

func (r *Report) add(name string, value float64, unit string) {
	r.Figures = append(r.Figures, Figure{Name: name, Value: value, Unit: unit})
}

// against adds a figure with its ratio to an earlier one.
func (r *Report) against(name string, value float64, unit, floor string) {
	f := Figure{Name: name, Value: value, Unit: unit}
	i := slices.IndexFunc(r.Figures, func(g Figure) bool { return g.Name == floor })
	if i >= 0 && r.Figures[i].Value != 0 {
		f.Ratio, f.Floor = value/r.Figures[i].Value, floor
	}
	r.Figures = append(r.Figures, f)
}

// WriteJSON writes the report as one JSON object.
func (r *Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// WriteTable writes the report for people.
func (r *Report) WriteTable(w io.Writer) error {
	where := r.Store
	if r.Broker != "" {
		where += " to " + r.Broker
	}
	if _, err := fmt.Fprintf(w, "%s, %s, %d CPUs: %s\n", r.Bench, where, r.CPUs, r.Work); err != nil {
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, f := range r.Figures {
		ratio := ""
		if f.Floor != "" {
			ratio = fmt.Sprintf("%.2f x %s", f.Ratio, f.Floor)
		}
		_, _ = fmt.Fprintf(t, "%s\t%s %s\t%s\t\n", f.Name, number(f.Value), f.Unit, ratio)
	}
	return t.Flush()
}

// number prints three or four significant digits, the way people write figures.
func number(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

// percentiles are of durations, in milliseconds.
type percentiles struct{ p50, p95, p99, max float64 }

func percentilesOf(all []time.Duration) percentiles {
	if len(all) == 0 {
		return percentiles{}
	}
	slices.Sort(all)
	at := func(q float64) float64 {
		return float64(all[min(int(q*float64(len(all))), len(all)-1)].Microseconds()) / 1000
	}
	return percentiles{p50: at(0.50), p95: at(0.95), p99: at(0.99), max: at(1)}
}

func (r *Report) latencies(name string, all []time.Duration) {
	p := percentilesOf(all)
	r.add(name+" p50", p.p50, "ms")
	r.add(name+" p95", p.p95, "ms")
	r.add(name+" p99", p.p99, "ms")
	r.add(name+" max", p.max, "ms")
}

func perSecond(n int, took time.Duration) float64 { return float64(n) / took.Seconds() }
