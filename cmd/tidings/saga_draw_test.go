package main

import (
	"os"
	"strings"
	"testing"

	"tidings.example/saga/machine"
)

// TestSagaDraw compares with testdata/saga.txt and saga.mmd.
func TestSagaDraw(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, url string) {
		mustRun(t, "migrate", "up", "--store-url", url)
		draw := func(args ...string) result {
			t.Helper()
			return invoke(t, append([]string{"saga", "draw", "--store-url", url}, args...)...)
		}
		draw("create-order").fails(t, exitNegative, "knows no sagas")
		storePlans(t, openURL(t, url))
		for file, args := range map[string][]string{
			"testdata/saga.txt":     {"create-order"},
			"testdata/saga.mmd":     {"create-order", "--format", "mermaid"},
			"testdata/saga-old.txt": {"create-order", "--fingerprint", "f1"},
		} {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if r := draw(args...); r.code != exitDone || r.stdout != string(want) {
				t.Errorf("draw %v is not what %s holds:\n%s%s", args, file, r.stdout, r.stderr)
			}
		}
		if plan := decode[machine.Plan](t, draw("create-order", "--format", "json").stdout); plan.Name != "create-order" || len(plan.Steps) != 3 {
			t.Errorf("the plan as JSON is %+v", plan)
		}
		if r := draw(); r.code != exitDone || !strings.Contains(r.stdout, "create-order  f2") || strings.Index(r.stdout, "create-order  f1") < strings.Index(r.stdout, "create-order  f2") {
			t.Errorf("the definitions are listed as:\n%s", r.stdout)
		}
		draw("create-order", "--fingerprint", "f3").fails(t, exitNegative, `begins with "f3"`)
		draw("create-ordre").fails(t, exitNegative, "did you mean create-order?")
	})
}
