package webhook

import (
	"fmt"
	"strings"

	"github.com/pillion-mesh/pillion/internal/inject"
)

// parsePath reads /inject[/<key>/<value>]… into a request: keys injector and entry, and what becomes environment of the
// proxy: cluster and net under the names Istio has for them, every other key under its own. --slash-- stands for / in
// values.
func parsePath(path string, r *inject.Request) error {
	rest, ok := strings.CutPrefix(path, "/inject")
	rest = strings.TrimSuffix(rest, "/")
	if !ok || rest != "" && rest[0] != '/' {
		return fmt.Errorf("path %q: want /inject[/<key>/<value>]…", path)
	}
	for rest != "" {
		key, after, found := strings.Cut(rest[1:], "/")
		if !found {
			return fmt.Errorf("path %q: key %q has no value", path, key)
		}
		value, _, _ := strings.Cut(after, "/")
		rest = after[len(value):]
		if err := setFromPath(r, key, strings.ReplaceAll(value, "--slash--", "/")); err != nil {
			return fmt.Errorf("path %q: %w", path, err)
		}
	}
	return nil
}

func setFromPath(r *inject.Request, key, value string) error {
	switch key {
	case "injector":
		r.Injector = value
	case "entry":
		r.Entry = value
	case "cluster":
		r.Env = append(r.Env, inject.EnvVar{Name: "ISTIO_META_CLUSTER_ID", Value: value})
	case "net":
		r.Env = append(r.Env, inject.EnvVar{Name: "ISTIO_META_NETWORK", Value: value})
	default:
		if !isEnvName(key) {
			return fmt.Errorf("key %q is unknown; want injector, entry, cluster, net or an environment variable's name", key)
		}
		r.Env = append(r.Env, inject.EnvVar{Name: key, Value: value})
	}
	return nil
}

// isEnvName wants [A-Z_][A-Z0-9_]*.
func isEnvName(key string) bool {
	for i := range len(key) {
		c := key[i]
		if c != '_' && (c < 'A' || c > 'Z') && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return key != ""
}
