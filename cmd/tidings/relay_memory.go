package main

import (
	"os"
	"runtime/debug"
)

// collectOften has garbage collected when the heap has grown by half and not only
// when it has doubled. What a relay keeps is mostly payload, which costs little to
// pass over, and it is the same from one second to the next: a quarter less memory
// for a cost that is not seen. GOGC and GOMEMLIMIT count if they are set.
func collectOften() {
	if os.Getenv("GOGC") == "" && os.Getenv("GOMEMLIMIT") == "" {
		debug.SetGCPercent(50)
	}
}
