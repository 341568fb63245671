package jwt

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	_ "crypto/sha256" // the hashes of the algorithms
	_ "crypto/sha512"
	"math/big"
)

// algorithms are those a token may be signed with, RFC 7518 3.1 and RFC 8037. HMAC is left out: a key everybody who
// verifies knows is no proof, and public keys must never be taken for one.
var algorithms = [...]string{
	"RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512", "EdDSA",
}

var hashes = map[string]crypto.Hash{"256": crypto.SHA256, "384": crypto.SHA384, "512": crypto.SHA512}

// esCurves are the curves that belong to ES256, ES384 and ES512.
var esCurves = map[string]elliptic.Curve{"256": elliptic.P256(), "384": elliptic.P384(), "512": elliptic.P521()}

// verify tries the keys of t's kid, all of them if it has none.
func verify(t *token, keys []key) problem {
	result := keysMismatch
	for i := range keys {
		k := &keys[i]
		if t.kid != "" && k.kid != t.kid || k.alg != "" && k.alg != t.alg {
			continue
		}
		result = verificationFails
		if t.alg == "EdDSA" && len(t.signature) != ed25519.SignatureSize {
			return wrongEdLength
		}
		if signedBy(t, k.public) {
			return none
		}
	}
	return result
}

// signedBy reports whether the signature is the key's. A key of another kind than the algorithm's never fits.
func signedBy(t *token, public crypto.PublicKey) bool {
	if k, ok := public.(ed25519.PublicKey); ok {
		return t.alg == "EdDSA" && ed25519.Verify(k, []byte(t.signed), t.signature)
	}
	if t.alg == "EdDSA" {
		return false
	}
	family, size := t.alg[:2], t.alg[2:]
	hash := hashes[size]
	h := hash.New()
	h.Write([]byte(t.signed))
	sum := h.Sum(nil)
	switch k := public.(type) {
	case *rsa.PublicKey:
		if family == "PS" {
			return rsa.VerifyPSS(k, hash, sum, t.signature, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}) == nil
		}
		return family == "RS" && rsa.VerifyPKCS1v15(k, hash, sum, t.signature) == nil
	case *ecdsa.PublicKey:
		return family == "ES" && k.Curve == esCurves[size] && verifyEC(k, sum, t.signature)
	default:
		return false
	}
}

// verifyEC reads the signature as two numbers of equal length, RFC 7518 3.4.
func verifyEC(k *ecdsa.PublicKey, sum, signature []byte) bool {
	half := (k.Curve.Params().BitSize + 7) / 8
	if len(signature) != 2*half {
		return false
	}
	r, s := new(big.Int).SetBytes(signature[:half]), new(big.Int).SetBytes(signature[half:])
	return ecdsa.Verify(k, sum, r, s)
}
