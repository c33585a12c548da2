package soak

import (
	"reflect"
	"testing"
	"time"
)

func TestScheduleIsRepeatableAndHitsEveryTarget(t *testing.T) {
	t.Parallel()
	targets := []string{"orders", "customers", "history", "kafka", "postgres", "drop the slot"}
	alone := func(name string) bool { return name == "drop the slot" }
	plan := schedule(42, 2*time.Minute, 4*time.Second, targets, alone)
	if !reflect.DeepEqual(plan, schedule(42, 2*time.Minute, 4*time.Second, targets, alone)) {
		t.Error("the same seed gives another plan")
	}
	if reflect.DeepEqual(plan, schedule(43, 2*time.Minute, 4*time.Second, targets, alone)) {
		t.Error("another seed gives the same plan")
	}
	hit := map[string]bool{}
	for i, s := range plan {
		for _, name := range s.targets {
			if alone(name) && len(s.targets) > 1 {
				t.Errorf("strike %d hits %q together with others", i, s.targets)
			}
			hit[name] = true
		}
		if i > 0 && s.at < plan[i-1].at+plan[i-1].down {
			t.Errorf("strike %d begins before the one before is over", i)
		}
	}
	if len(hit) != len(targets) {
		t.Errorf("only %v are hit", hit)
	}
}
