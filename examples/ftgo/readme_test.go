package ftgo

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestReadme pastes the commands of the README into a shell.
func TestReadme(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	r := startAll(t)
	var lines []string
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "    ") && strings.Contains(line, "curl ") {
			lines = append(lines, strings.TrimSpace(strings.ReplaceAll(line, "http://127.0.0.1:8080", r.URL)))
		}
	}
	if len(lines) != 4 {
		t.Fatalf("the README has %d lines with curl, want 4", len(lines))
	}
	output, err := exec.CommandContext(t.Context(), "sh", "-c", strings.Join(lines, "\n")).CombinedOutput()
	if err != nil || !strings.Contains(string(output), `"state":"VALIDATED","orderTotal":{"amount":24.68}`) {
		t.Errorf("the commands of the README answer %v:\n%s", err, output)
	}
}
