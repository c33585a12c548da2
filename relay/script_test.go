package relay

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write what the machines do into the scripts in testdata")

// playScripts runs each script that the pattern names through a machine of its
// own. begin makes one, and returns what answers an input.
func playScripts(t *testing.T, pattern string, begin func(t *testing.T) func(what string, args []string) string) {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			script, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := play(string(script), begin(t))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if got != string(script) {
				t.Errorf("got:\n%s\nwant:\n%s", got, script)
			}
		})
	}
}

// play returns the script with the answers that its inputs get.
func play(script string, do func(what string, args []string) string) string {
	var out strings.Builder
	lines := bufio.NewScanner(strings.NewReader(script))
	for lines.Scan() {
		line := lines.Text()
		input, _, _ := strings.Cut(line, "->")
		input = strings.TrimSpace(input)
		words := strings.Fields(input)
		if len(words) == 0 || strings.HasPrefix(input, "#") {
			out.WriteString(line + "\n")
			continue
		}
		if answer := do(words[0], words[1:]); answer != "" {
			input = fmt.Sprintf("%-14s -> %s", input, answer)
		}
		out.WriteString(input + "\n")
	}
	return out.String()
}
