// Package version says which build of Pillion this is. It is a leaf.
package version

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// Version is set by the linker (-X); a plain `go build` leaves "dev".
var Version = "dev"

// Info describes one build.
type Info struct {
	Version  string `json:"version"`
	Revision string `json:"revision"` // VCS commit, "unknown" outside a checkout
	Modified bool   `json:"modified"` // built from a tree with uncommitted changes
	Go       string `json:"goVersion"`
	Platform string `json:"platform"` // GOOS/GOARCH
}

// Get returns what the running binary was built from.
func Get() Info {
	info := Info{Version: Version, Revision: "unknown", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	build, ok := debug.ReadBuildInfo()
	if !ok {
		return info
	}
	for _, s := range build.Settings {
		switch s.Key {
		case "vcs.revision":
			info.Revision = s.Value
		case "vcs.modified":
			info.Modified = s.Value == "true"
		}
	}
	return info
}

// String is the one-line form: version, short revision and Go version.
func (i Info) String() string {
	revision := i.Revision
	if len(revision) > 12 {
		revision = revision[:12]
	}
	if i.Modified {
		revision += "-modified"
	}
	return fmt.Sprintf("%s (%s, %s, %s)", i.Version, revision, i.Go, i.Platform)
}
