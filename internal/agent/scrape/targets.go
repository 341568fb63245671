package scrape

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

const (
	maxTargets  = 16
	defaultPath = "/metrics"
	defaultPort = "80" // Istio's, where the annotation is missing
)

// Target is a page of metrics in the pod. Path may have a query.
type Target struct {
	Port uint16
	Path string
}

// Targets reads both places that name pages: the JSON of ISTIO_PROMETHEUS_ANNOTATIONS, and a list such as
// "8080:/metrics,9000". None is named twice or is a port of the sidecar. The error names all that is wrong; the rest
// of the targets is good.
func Targets(annotations, list string, own []uint16) (targets []Target, err error) {
	var faults []error
	add := func(port, path string) {
		t, err := parseTarget(port, path, own)
		switch {
		case err != nil:
			faults = append(faults, err)
		case slices.Contains(targets, t):
		case len(targets) == maxTargets:
			faults = append(faults, fmt.Errorf("scrape target %d%s is beyond the first %d and left out", t.Port, t.Path, maxTargets))
		default:
			targets = append(targets, t)
		}
	}
	if err := fromAnnotations(annotations, add); err != nil {
		faults = append(faults, err)
	}
	for item := range strings.SplitSeq(list, ",") {
		if item = strings.TrimSpace(item); item != "" {
			port, path, _ := strings.Cut(item, ":")
			add(port, path)
		}
	}
	return targets, errors.Join(faults...)
}

func fromAnnotations(text string, add func(port, path string)) error {
	if text == "" {
		return nil
	}
	var a struct{ Scrape, Path, Port string }
	if err := json.Unmarshal([]byte(text), &a); err != nil {
		return fmt.Errorf(`ISTIO_PROMETHEUS_ANNOTATIONS isn't JSON such as {"scrape":"true","path":"/metrics","port":"8080"}: %w`, err)
	}
	if wanted, err := strconv.ParseBool(a.Scrape); err == nil && !wanted { // the injector asks unless it is false, too
		return nil
	}
	add(cmp.Or(a.Port, defaultPort), a.Path)
	return nil
}

func parseTarget(port, path string, own []uint16) (t Target, err error) {
	n, err := strconv.ParseUint(strings.TrimSpace(port), 10, 16)
	if err != nil || n == 0 {
		return t, fmt.Errorf("scrape target %.64q: want a port from 1 to 65535, and behind a colon a path", port)
	}
	t = Target{Port: uint16(n), Path: path}
	if slices.Contains(own, t.Port) {
		return t, fmt.Errorf("scrape target %d is a port of the sidecar itself, whose metrics are there anyway", n)
	}
	if t.Path, _, _ = strings.Cut(t.Path, "#"); t.Path == "" { // a fragment is never sent
		t.Path = defaultPath
	}
	if !strings.HasPrefix(t.Path, "/") {
		t.Path = "/" + t.Path
	}
	if _, err := url.ParseRequestURI(t.Path); err != nil {
		return t, fmt.Errorf("scrape target %d: path %.64q is no path of a URL", n, path)
	}
	return t, nil
}
