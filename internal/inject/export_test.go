package inject

import (
	jsonpatch "gopkg.in/evanphx/json-patch.v4"

	"github.com/pillion-mesh/pillion/internal/inject/rawjson"
)

func makePatch(from, to *rawjson.Value) []byte { return appendPatch(nil, from, to) }

// applyForTest applies RFC 6902 operations with the library the API server uses.
func applyForTest(doc string, patch []byte) (string, error) {
	decoded, err := jsonpatch.DecodePatch(patch)
	if err != nil {
		return "", err
	}
	out, err := decoded.Apply([]byte(doc))
	return string(out), err
}
