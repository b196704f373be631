package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// version and commit are set by the linker (-X main.version=…) in builds that have them.
var version, commit = "", ""

type versionCmd struct{}

// Run prints the version, the commit if it is known, the Go release and the platform.
func (*versionCmd) Run(a *app) error {
	of := ""
	if commit != "" {
		of = "commit " + commit + ", "
	}
	_, err := fmt.Fprintf(a.stdout, "gateway %s (%s%s, %s/%s)\n", buildVersion(), of, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}

// buildVersion is the linker's version, else the module's or the commit that Go recorded, else "dev".
func buildVersion() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "dev"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return "dev-" + s.Value[:12]
		}
	}
	return "dev"
}
