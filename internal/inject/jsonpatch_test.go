package inject_test

import jsonpatch "gopkg.in/evanphx/json-patch.v4"

// applyPatch applies RFC 6902 operations as the API server does, with the library it uses.
func applyPatch(doc, patch []byte) ([]byte, error) {
	decoded, err := jsonpatch.DecodePatch(patch)
	if err != nil {
		return nil, err
	}
	return decoded.Apply(doc)
}
