package jwt

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"strings"
)

// key is one public key of a set. An empty kid or alg says nothing.
type key struct {
	kid, alg string
	public   crypto.PublicKey
}

// parseKeys reads a JWK set, RFC 7517 5. Keys that can't be used are left out; none left is a problem.
func parseKeys(raw []byte) ([]key, problem) {
	var set map[string]json.RawMessage
	if json.Unmarshal(raw, &set) != nil || set == nil {
		return nil, keysBadJSON
	}
	list, there := set["keys"]
	if !there {
		return nil, keysMissing
	}
	var entries []json.RawMessage
	if json.Unmarshal(list, &entries) != nil {
		return nil, keysNoArray
	}
	var keys []key
	for _, entry := range entries {
		var j jwk
		if json.Unmarshal(entry, &j) != nil {
			continue
		}
		if public := j.public(); public != nil {
			keys = append(keys, key{j.Kid, j.Alg, public})
		}
	}
	if len(keys) == 0 {
		return nil, keysNone
	}
	return keys, none
}

// jwk are the members of a key that matter, RFC 7518 6 and RFC 8037 2.
type jwk struct {
	Kty, Kid, Alg, Crv, X, Y, N, E string
}

func (j *jwk) public() crypto.PublicKey {
	switch j.Kty {
	case "RSA":
		return j.rsa()
	case "EC":
		return j.ec()
	case "OKP":
		if x, ok := unpad(j.X); ok && j.Crv == "Ed25519" && len(x) == ed25519.PublicKeySize {
			return ed25519.PublicKey(x)
		}
	}
	return nil
}

// rsa returns the key, or nil. Very large ones cost more than a request is worth.
func (j *jwk) rsa() crypto.PublicKey {
	n, ok := unpad(j.N)
	e, ok2 := unpad(j.E)
	if !ok || !ok2 || len(n) < 128 || len(n) > 1025 || len(e) == 0 || len(e) > 4 {
		return nil
	}
	exponent := new(big.Int).SetBytes(e).Int64()
	if exponent < 3 || exponent >= 1<<31 || exponent%2 == 0 {
		return nil
	}
	return &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(exponent)}
}

func (j *jwk) ec() crypto.PublicKey {
	curve, ok := curves[j.Crv]
	if !ok {
		return nil
	}
	x, okX := unpad(j.X)
	y, okY := unpad(j.Y)
	size := (curve.Params().BitSize + 7) / 8
	if !okX || !okY || len(x) > size || len(y) > size {
		return nil
	}
	point := make([]byte, 1+2*size)
	point[0] = 4 // not compressed
	copy(point[1+size-len(x):], x)
	copy(point[1+2*size-len(y):], y)
	public, err := ecdsa.ParseUncompressedPublicKey(curve, point)
	if err != nil {
		return nil
	}
	return public
}

var curves = map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()}

func unpad(text string) ([]byte, bool) {
	raw, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(text, "="))
	return raw, err == nil && len(raw) > 0
}
