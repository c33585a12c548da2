package main

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// versionInfo is what `version --output json` prints.
type versionInfo struct {
	// Version is the module's version; "(devel)" for a build from a checkout.
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	// Time is when the revision was committed.
	Time     string `json:"time,omitempty"`
	Modified bool   `json:"modified"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func newVersionCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "Print the version of this program",
		GroupID: groupOperate,
		Long:    "Version prints which version of the program this is and what it was built from and with.",
		Example: `  tidings version
  tidings version --output json`,
		Args: exactArgs(),
	}
	output := addOutputFlag(cmd)
	cmd.RunE = func(*cobra.Command, []string) error {
		v := readVersion()
		if output.value == "json" {
			return writeJSON(a.stdout, v)
		}
		revision := v.Revision
		if v.Modified {
			revision += " with changes"
		}
		rows := [][]string{{"tidings", v.Version}}
		if v.Revision != "" {
			rows = append(rows, []string{"revision", revision}, []string{"committed", v.Time})
		}
		return writeTable(a.stdout, append(rows, []string{"built with", v.Go}, []string{"platform", v.Platform})...)
	}
	return cmd
}

func readVersion() versionInfo {
	v := versionInfo{Version: "(unknown)", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	v.Version = info.Main.Version
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Revision = s.Value
		case "vcs.time":
			v.Time = s.Value
		case "vcs.modified":
			v.Modified = s.Value == "true"
		}
	}
	return v
}
