package inject

import (
	"fmt"
	"strings"

	"github.com/pillion-mesh/pillion/internal/istio"
)

// maxUnknown bounds the search for what was meant: a pod may have thousands of keys.
const maxUnknown = maxWarnings

// prefixes under which every key should be one of the table. Others have keys under istio.io/ too: there, only what is
// nearly one of ours is told.
var prefixes = []string{
	"sidecar.istio.io/", "traffic.sidecar.istio.io/", "status.sidecar.istio.io/", "readiness.status.sidecar.istio.io/",
	"inject.istio.io/", "proxy.istio.io/", "prometheus.istio.io/", "pillion.dev/",
}

// looksOurs says whether a key that isn't in the table should be.
func looksOurs(key string) bool {
	if !strings.Contains(key, "istio.io/") && !strings.HasPrefix(key, "pillion.dev/") {
		return false
	}
	for _, prefix := range prefixes {
		if strings.HasPrefix(key, prefix) {
			return true
		}
	}
	return strings.HasPrefix(key, "istio.io/") && distance(strings.ToLower(key), istio.AnnotationRerouteInterfaces) < far
}

// warnUnknown tells of an annotation that looks like ours and isn't: a misspelt one is otherwise silently without
// effect.
func (s *settings) warnUnknown(key string) {
	message := fmt.Sprintf("annotation %q is unknown and has no effect", cut(key, shown))
	if near := nearest(key); near != "" {
		message += fmt.Sprintf("; did you mean %q?", near)
	}
	s.warn("%s", message)
}

// nearest is the annotation of the table that a key is nearly; "" if it isn't nearly one.
func nearest(key string) string {
	best, bestDistance := "", far
	key = strings.ToLower(key)
	for i := range annotations {
		if annotations[i].Label {
			continue
		}
		if d := distance(key, strings.ToLower(annotations[i].Key)); d < bestDistance {
			best, bestDistance = annotations[i].Key, d
		}
	}
	return best
}

// far is the distance from which two keys have nothing to do with each other.
const far = 3

// distance is Damerau-Levenshtein (optimal string alignment). Keys too different in length are far.
func distance(a, b string) int {
	if len(a) > len(b)+2 || len(b) > len(a)+2 {
		return far
	}
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}

// cut shortens text to n bytes, at a character's edge.
func cut(text string, n int) string {
	if len(text) <= n {
		return text
	}
	return strings.ToValidUTF8(text[:n-len("…")], "") + "…"
}
