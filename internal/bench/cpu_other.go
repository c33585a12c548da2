//go:build !unix

package bench

import "time"

// cpuTime is the CPU time that this process has taken; false where the system does not say.
func cpuTime() (time.Duration, bool) { return 0, false }
