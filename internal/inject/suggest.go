package inject

import (
	"fmt"
	"strings"

	"github.com/pillion-mesh/pillion/internal/inject/rawjson"
)

// maxUnknown bounds the search for what was meant: nobody is shown more warnings, and a pod may have thousands of keys.
const maxUnknown = 16

// unknownKeys warns of annotations that look like ours and aren't: a misspelt one is otherwise silently without effect.
func unknownKeys(pod *rawjson.Value) (warnings []string) {
	for _, m := range pod.Members() {
		if !looksOurs(m.Key) || isAnnotation(m.Key) {
			continue
		}
		if len(warnings) == maxUnknown {
			break
		}
		message := fmt.Sprintf("annotation %q is unknown and has no effect", m.Key)
		if near := nearest(m.Key); near != "" {
			message += fmt.Sprintf("; did you mean %q?", near)
		}
		warnings = append(warnings, message)
	}
	return warnings
}

func looksOurs(key string) bool {
	for _, prefix := range prefixes {
		if strings.HasPrefix(key, prefix) {
			return true
		}
	}
	return false
}

func isAnnotation(key string) bool {
	for i := range annotations {
		if annotations[i].Key == key {
			return true
		}
	}
	return false
}

func nearest(key string) string {
	best, bestDistance := "", 3
	key = strings.ToLower(key)
	for i := range annotations {
		if d := distance(key, strings.ToLower(annotations[i].Key)); d < bestDistance {
			best, bestDistance = annotations[i].Key, d
		}
	}
	return best
}

// distance is Damerau-Levenshtein (optimal string alignment). Keys too different in length are far.
func distance(a, b string) int {
	if len(a) > len(b)+2 || len(b) > len(a)+2 {
		return 3
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
