package inject_test

import (
	"strings"
	"testing"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
)

// applyPatch applies RFC 6902 operations as the API server does, with the library it uses.
func applyPatch(doc, patch []byte) ([]byte, error) {
	decoded, err := jsonpatch.DecodePatch(patch)
	if err != nil {
		return nil, err
	}
	return decoded.Apply(doc)
}

// TestKeysThatPathsSpellOtherwise: / and ~ of a key are ~1 and ~0 in a path. All these annotations are Prometheus' to
// it, so they are removed.
func TestKeysThatPathsSpellOtherwise(t *testing.T) {
	set := setOf(t, injector("default", "default"))
	for _, key := range []string{"prometheus~io/port", "prometheus/io~port", "prometheus~io~port", "prometheus/io/port"} {
		before := scrapedPod(map[string]string{key: "1", "other": "stays"})
		result := injectTypical(set, before, false)
		if strings.Contains(string(result.Pod()), `"`+key+`"`) {
			t.Errorf("annotation %s is still there", key)
		}
		checkPatch(t, []byte(before), &result)
	}
}
