package jwt

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"maps"
	"math/big"
	"testing"
)

func b64(raw []byte) string { return base64.RawURLEncoding.EncodeToString(raw) }

// signers are private keys by algorithm, with their public parts as a JWK set.
type signers struct {
	keys map[string]crypto.Signer
	jwks string
}

func newSigners(t testing.TB) *signers {
	t.Helper()
	s := &signers{keys: map[string]crypto.Signer{}}
	var set []map[string]string
	small, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []string{"256", "384", "512"} {
		s.keys["RS"+size], s.keys["PS"+size] = small, small
		curve := esCurves[size]
		k, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		s.keys["ES"+size] = k
		point, _ := k.PublicKey.Bytes()
		half := len(point) / 2
		set = append(set, map[string]string{
			"kty": "EC", "kid": "ES" + size, "crv": k.Curve.Params().Name, "x": b64(point[1 : 1+half]), "y": b64(point[1+half:]),
		})
	}
	public, private, _ := ed25519.GenerateKey(rand.Reader)
	s.keys["EdDSA"] = private
	set = append(set,
		map[string]string{"kty": "OKP", "kid": "EdDSA", "crv": "Ed25519", "x": b64(public)},
		map[string]string{"kty": "RSA", "kid": "RSA", "n": b64(small.N.Bytes()), "e": "AQAB"},
		map[string]string{"kty": "oct", "kid": "hmac", "k": "c2VjcmV0"})
	raw, _ := json.Marshal(map[string]any{"keys": set})
	s.jwks = string(raw)
	return s
}

// sign makes a token. Members of header are put over the usual ones.
func (s *signers) sign(t testing.TB, alg string, payload map[string]any, header ...map[string]any) string {
	t.Helper()
	kid := alg
	if alg[1] == 'S' && (alg[0] == 'R' || alg[0] == 'P') {
		kid = "RSA"
	}
	head := map[string]any{"alg": alg, "kid": kid}
	for _, h := range header {
		maps.Copy(head, h)
	}
	h, _ := json.Marshal(head)
	p, _ := json.Marshal(payload)
	text := b64(h) + "." + b64(p)
	return text + "." + b64(s.signature(t, alg, text))
}

func (s *signers) signature(t testing.TB, alg, text string) []byte {
	t.Helper()
	if alg == "EdDSA" {
		return ed25519.Sign(s.keys[alg].(ed25519.PrivateKey), []byte(text))
	}
	hash := hashes[alg[2:]]
	h := hash.New()
	h.Write([]byte(text))
	var raw []byte
	var err error
	switch key := s.keys[alg].(type) {
	case *ecdsa.PrivateKey:
		var r, q *big.Int
		r, q, err = ecdsa.Sign(rand.Reader, key, h.Sum(nil))
		half := (key.Curve.Params().BitSize + 7) / 8
		raw = append(r.FillBytes(make([]byte, half)), q.FillBytes(make([]byte, half))...)
	case *rsa.PrivateKey:
		if alg[0] == 'P' {
			raw, err = rsa.SignPSS(rand.Reader, key, hash, h.Sum(nil), &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
		} else {
			raw, err = rsa.SignPKCS1v15(nil, key, hash, h.Sum(nil))
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return raw
}
