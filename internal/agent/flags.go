package agent

import (
	"slices"
	"strings"
)

// flags are the flags of a command line by name.
type flags map[string]string

// Flags that take a value. The last row has no effect here; templates made for Istio set them.
var valueFlags = []string{
	"log-level", "log_output_level", "proxyLogLevel", "concurrency", "run-dir", "restart-epoch", "control-fd",
	"domain", "discoveryAddress", "serviceCluster", "drainDuration", "parentShutdownDuration",
	"meshConfig", "proxyComponentLogLevel", "stsPort", "templateFile", "outlierLogPath", "tokenManagerPlugin",
}

// Flags that may stand without a value.
var boolFlags = []string{"log_as_json", "profiling"}

// parseFlags reads --name=value, --name value and --name. Words that are no flags (Istio's role "sidecar") are skipped.
// Names it doesn't know come back in ignored; a template for another version must not keep the pod from starting.
func parseFlags(args []string, r *reader) (found flags, ignored []string) {
	found = flags{}
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		if !strings.HasPrefix(arg, "-") || strings.Trim(arg, "-") == "" {
			continue
		}
		name, value, inline := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		switch {
		case slices.Contains(boolFlags, name):
			found[name] = value
		case !slices.Contains(valueFlags, name):
			ignored = append(ignored, arg)
			args = skipValue(args, inline)
		case inline:
			found[name] = value
		case len(args) == 0:
			r.faults = append(r.faults, "--"+name+" has no value")
		default:
			found[name], args = args[0], args[1:]
		}
	}
	return found, ignored
}

// skipValue drops what must be the value of an unknown flag.
func skipValue(args []string, inline bool) []string {
	if inline || len(args) == 0 || strings.HasPrefix(args[0], "-") {
		return args
	}
	return args[1:]
}
