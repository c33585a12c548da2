package servertest

import (
	"os/exec"
	"testing"
)

// Chromium returns the path of a Chromium or Chrome that can show web pages.
func Chromium(t testing.TB) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	skipOrFail(t, "there is no chromium on the PATH; run scripts/servers apt chromium")
	return ""
}
