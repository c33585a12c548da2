package ftgo

import (
	"encoding/json"
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
	if err != nil {
		t.Fatalf("the commands of the README fail: %v\n%s", err, output)
	}
	var order struct{ OrderID, State string }
	if err := json.Unmarshal(output, &order); err != nil || order.State == "" {
		t.Fatalf("the commands of the README answer %s (%v)", output, err)
	}
	// On a machine that has much else to do, the second that the commands wait is not enough.
	r.wantSettled(order.OrderID, "VALIDATED <nil> 24.68")
}
