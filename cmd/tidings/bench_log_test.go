package main

import (
	"slices"
	"testing"

	"tidings.example/internal/bench"
)

// TestBenchReadsTheLog: all figures are there and something was measured; how fast
// is of no matter here.
func TestBenchReadsTheLog(t *testing.T) {
	t.Parallel()
	eachLog(t, func(t *testing.T, url string) {
		r := invocation{args: []string{"bench", "relay", "--source", url, "--broker", natsServer(t), "--read", "log", "--rows", "3000",
			"--rate", "50", "--for", "1s", "-o", "json"}}.run(t)
		if r.code != exitDone {
			t.Fatalf("exit code %d\n%s", r.code, r.stderr)
		}
		report := decode[bench.Report](t, r.stdout)
		for _, name := range []string{"bare producer", "bare log reader", "drained", "relay memory (RSS)", "relay CPU per 100,000 rows", "commit to consumer at 50/s, p99"} {
			i := slices.IndexFunc(report.Figures, func(f bench.Figure) bool { return f.Name == name })
			if i < 0 || report.Figures[i].Value <= 0 {
				t.Errorf("%s is missing or 0 in %+v", name, report.Figures)
			}
		}
		if kind := report.Store; kind == "postgres" {
			// Nothing is left that would fill a disk.
			invoke(t, "relay", "drop-log", "--store-url", url, "--reason", "test").fails(t, exitNegative, "keeps no log")
		}
		r = invoke(t, "bench", "append", "--store-url", url, "--rows", "100", "--append", "delete", "-o", "json")
		if r.code != exitDone {
			t.Fatalf("exit code %d\n%s", r.code, r.stderr)
		}
	})
}
