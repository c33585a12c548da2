package machine_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tidings.example/saga/machine"
)

// TestDrawings compares the drawings of the plans in testdata/draw.
func TestDrawings(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/draw/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no plans: %v", err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var p machine.Plan
		if err := json.Unmarshal(b, &p); err != nil {
			t.Fatal(err)
		}
		if err := p.Validate(); err != nil {
			t.Fatal(err)
		}
		text, mermaid := checkDrawing(t, &p)
		compare(t, strings.TrimSuffix(file, ".json")+".txt", text)
		compare(t, strings.TrimSuffix(file, ".json")+".mmd", mermaid)
	}
}

func compare(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got:\n%s\nwant:\n%s", file, got, want)
	}
}

// checkDrawing draws a plan, and checks that each line of a chart is whole.
func checkDrawing(t *testing.T, p *machine.Plan) (text, mermaid string) {
	t.Helper()
	var txt, chart bytes.Buffer
	if err := machine.Text(&txt, p); err != nil {
		t.Fatal(err)
	}
	if err := machine.Mermaid(&chart, p); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(chart.String()) {
		if n := strings.Count(line, `"`); n != 0 && n != 2 {
			t.Fatalf("%d quotes in a line: %s", n, line)
		}
		if !strings.HasPrefix(line, "  ") && line != "flowchart TD\n" {
			t.Fatalf("a line that is none: %q", line)
		}
	}
	return txt.String(), chart.String()
}
