package jwt

import (
	"encoding/base64"
	"encoding/json"
	"math"
	"slices"
	"strings"
	"time"
)

// token is a token that was read, not verified.
type token struct {
	signed    string // header and payload, as they stand in the token
	encoded   string // the payload as it stands
	signature []byte
	alg, kid  string
	header    map[string]any
	payload   map[string]any
	issuer    string
	audiences []string
	expires   int64 // seconds since 1970; 0: never
	notBefore int64
}

// longestToken bounds what is read at all; heads of requests are shorter.
const longestToken = 64 << 10

// parse reads the compact form, RFC 7515 3.1.
func parse(text string) (*token, problem) {
	parts := strings.Split(text[:min(len(text), longestToken)], ".")
	if len(parts) != 3 {
		return nil, badFormat
	}
	t := &token{signed: text[:len(parts[0])+1+len(parts[1])], encoded: parts[1]}
	if p := t.readHeader(parts[0]); p != none {
		return nil, p
	}
	raw, ok := decode(parts[1])
	if !ok {
		return nil, payloadBadBase64
	}
	if json.Unmarshal(raw, &t.payload) != nil || t.payload == nil {
		return nil, payloadBadJSON
	}
	if p := t.readClaims(); p != none {
		return nil, p
	}
	if t.signature, ok = decode(parts[2]); !ok {
		return nil, signatureBadBase64
	}
	return t, none
}

func decode(text string) ([]byte, bool) {
	raw, err := base64.RawURLEncoding.DecodeString(text)
	return raw, err == nil
}

func (t *token) readHeader(text string) problem {
	raw, ok := decode(text)
	if !ok {
		return headerBadBase64
	}
	if json.Unmarshal(raw, &t.header) != nil || t.header == nil {
		return headerBadJSON
	}
	if t.alg, ok = t.header["alg"].(string); !ok {
		return badAlg
	}
	if !slices.Contains(algorithms[:], t.alg) {
		return unknownAlg
	}
	kid, there := t.header["kid"]
	if t.kid, ok = kid.(string); there && !ok {
		return badKid
	}
	return none
}

// readClaims reads the registered claims, RFC 7519 4.1.
func (t *token) readClaims() (p problem) {
	if t.issuer, p = t.text("iss", badIss); p != none {
		return p
	}
	if _, p = t.text("sub", badSub); p != none {
		return p
	}
	if _, p = t.text("jti", badJti); p != none {
		return p
	}
	if _, p = t.seconds("iat"); p != none {
		return p
	}
	if t.notBefore, p = t.seconds("nbf"); p != none {
		return p
	}
	if t.expires, p = t.seconds("exp"); p != none {
		return p
	}
	return t.readAudiences()
}

func (t *token) text(claim string, wrong problem) (string, problem) {
	value, there := t.payload[claim]
	text, ok := value.(string)
	if there && !ok {
		return "", wrong
	}
	return text, none
}

func (t *token) seconds(claim string) (int64, problem) {
	value, there := t.payload[claim]
	if !there {
		return 0, none
	}
	n, ok := value.(float64)
	switch {
	case !ok || n != math.Trunc(n):
		return 0, problem(claimBefore + claim + claimNotInteger)
	case n < 0 || n >= 1<<62:
		return 0, problem(claimBefore + claim + claimRange)
	}
	return int64(n), none
}

func (t *token) readAudiences() problem {
	switch aud := t.payload["aud"].(type) {
	case nil:
		if _, there := t.payload["aud"]; there {
			return badAud
		}
	case string:
		t.audiences = []string{aud}
	case []any:
		for _, each := range aud {
			text, ok := each.(string)
			if !ok {
				return badAud
			}
			t.audiences = append(t.audiences, text)
		}
	default:
		return badAud
	}
	return none
}

// timely checks exp and nbf with the provider's tolerance, one minute unless configured.
func (p *provider) timely(t *token, now time.Time) problem {
	skew := int64(p.config.Skew / time.Second)
	if skew == 0 {
		skew = 60
	}
	at := now.Unix()
	switch {
	case t.notBefore > at+skew:
		return notYetValid
	case t.expires != 0 && at > t.expires+skew:
		return expired
	case p.config.RequireExpiry && t.expires == 0,
		p.config.MaxLifetime > 0 && (t.expires == 0 || t.expires-at > int64(p.config.MaxLifetime/time.Second)):
		return verificationFails
	}
	return none
}

// audienceFits compares audiences as people write them: without scheme and without a slash at the end.
func audienceFits(have, want []string) bool {
	if len(want) == 0 {
		return true
	}
	return slices.ContainsFunc(have, func(h string) bool {
		return slices.ContainsFunc(want, func(w string) bool { return plain(h) == plain(w) })
	})
}

func plain(audience string) string {
	audience = strings.TrimPrefix(strings.TrimPrefix(audience, "https://"), "http://")
	return strings.TrimSuffix(audience, "/")
}
