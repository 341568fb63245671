package jwt

import (
	"context"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter/filter"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

var now = time.Unix(1_800_000_000, 0)

func claims(more ...any) map[string]any {
	m := map[string]any{"iss": "me", "sub": "user", "aud": []string{"https://shop/"}, "exp": now.Unix() + 100}
	for i := 0; i < len(more); i += 2 {
		if more[i+1] == nil {
			delete(m, more[i].(string))
		} else {
			m[more[i].(string)] = more[i+1]
		}
	}
	return m
}

func newFilter(t testing.TB, c *config.JWT, d filter.Deps) filter.Filter {
	t.Helper()
	d.Now = func() time.Time { return now }
	f, err := New(c, d)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func everywhere(r *config.JWTRequirement) []config.JWTRule {
	return []config.JWTRule{{Match: config.RouteMatch{Path: "/"}, Requirement: r}}
}

func request(fields ...string) *stream.Exchange {
	x := &stream.Exchange{Conn: &stream.Conn{}}
	x.Request.Method, x.Request.Authority, x.Request.Path = "GET", "shop.com", "/cart?id=1"
	for i := 0; i+1 < len(fields); i += 2 {
		x.Request.Fields.Add(fields[i], fields[i+1])
	}
	return x
}

func bearer(token string) *stream.Exchange { return request("authorization", "Bearer "+token) }

func body(f filter.Filter, x *stream.Exchange) string {
	if r := f.Request(context.Background(), x, nil); r != nil {
		return r.Body
	}
	return ""
}

func TestAlgorithms(t *testing.T) {
	s := newSigners(t)
	f := newFilter(t, &config.JWT{
		Providers: map[string]*config.JWTProvider{"p": {Name: "p", Issuer: "me", Inline: s.jwks}},
		Rules:     everywhere(&config.JWTRequirement{Provider: "p"}),
	}, filter.Deps{})
	for _, alg := range algorithms {
		token := s.sign(t, alg, claims())
		if got := body(f, bearer(token)); got != "" {
			t.Errorf("%s: %s", alg, got)
		}
		if got := body(f, bearer(s.sign(t, alg, claims(), map[string]any{"kid": nil, "typ": "JWT"}))); got != string(badKid) {
			t.Errorf("%s with a kid that is null: %s", alg, got)
		}
		other := s.sign(t, alg, claims("sub", "other"))
		forged := token[:strings.LastIndexByte(token, '.')] + other[strings.LastIndexByte(other, '.'):]
		if got := body(f, bearer(forged)); got != "Jwt verification fails" {
			t.Errorf("%s forged: %s", alg, got)
		}
	}
	// A key of another kind never fits, whatever the token claims.
	for _, kid := range []string{"RSA", "ES384", "EdDSA"} {
		if got := body(f, bearer(s.sign(t, "ES256", claims(), map[string]any{"kid": kid}))); got != "Jwt verification fails" {
			t.Errorf("ES256 with the key of %s: %s", kid, got)
		}
	}
	s.keys["ES256"] = s.keys["ES384"]
	if got := body(f, bearer(s.sign(t, "ES256", claims(), map[string]any{"kid": "ES384"}))); got != "Jwt verification fails" {
		t.Errorf("ES256 on the curve of ES384: %q", got)
	}
	for _, alg := range []string{"none", "HS256", "", "ES999"} {
		token := s.sign(t, "ES256", claims(), map[string]any{"alg": alg, "kid": "hmac"})
		if got := body(f, bearer(token)); got != "Jwt header [alg] is not supported" {
			t.Errorf("%q: %s", alg, got)
		}
	}
}

func TestTexts(t *testing.T) {
	s := newSigners(t)
	f := newFilter(t, &config.JWT{
		Providers: map[string]*config.JWTProvider{"p": {Name: "p", Issuer: "me", Inline: s.jwks, Audiences: []string{"shop", "x"}}},
		Rules:     everywhere(&config.JWTRequirement{Provider: "p"}),
	}, filter.Deps{})
	sign := func(more ...any) string { return s.sign(t, "ES256", claims(more...)) }
	good := strings.Split(sign(), ".")
	join := func(parts ...string) string { return strings.Join(parts, ".") }
	for want, token := range map[string]string{
		"": sign(),
		"Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections": "invalid",
		"Jwt header is an invalid Base64url encoded":                                      join("a", good[1], good[2]),
		"Jwt header is an invalid JSON":                                                   join(b64([]byte("{")), good[1], good[2]),
		"Jwt header [alg] field is required and must be a string":                         join(b64([]byte("{}")), good[1], good[2]),
		"Jwt header [kid] field is not a string":                                          join(b64([]byte(`{"alg":"ES256","kid":1}`)), good[1], good[2]),
		"Jwt payload is an invalid Base64url encoded":                                     join(good[0], "a", good[2]),
		"Jwt payload is an invalid JSON":                                                  join(good[0], b64([]byte("[]")), good[2]),
		"Jwt payload [iss] field is not a string":                                         sign("iss", 1),
		"Jwt payload [sub] field is not a string":                                         sign("sub", 1),
		"Jwt payload [jti] field is not a string":                                         sign("jti", 1),
		"Jwt payload [iat] field is not an integer":                                       sign("iat", "1"),
		"Jwt payload [nbf] field is not an integer":                                       sign("nbf", 1.5),
		"Jwt payload [exp] field is not an integer":                                       sign("exp", "soon"),
		"Jwt payload [exp] field is not a positive 64 bit integer":                        sign("exp", -1),
		"Jwt payload [aud] field is not a string or string list":                          sign("aud", 1),
		"Jwt signature is an invalid Base64url encoded":                                   join(good[0], good[1], "a"),
		"Jwt issuer is not configured":                                                    sign("iss", "other"),
		"Jwt is expired":                                                                  sign("exp", now.Unix()-61),
		"Jwt not yet valid":                                                               sign("nbf", now.Unix()+61),
		"Audiences in Jwt are not allowed":                                                sign("aud", "y"),
		"Jwt verification fails":                                                          join(good[0], good[1], good[2][:len(good[2])-4]),
		"Jwks doesn't have key to match kid or alg from Jwt":                              s.sign(t, "ES256", claims(), map[string]any{"kid": "?"}),
		"Jwt ED25519 signature is wrong length":                                           join(b64([]byte(`{"alg":"EdDSA","kid":"EdDSA"}`)), good[1], "AAAA"),
	} {
		if got := body(f, bearer(token)); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	for _, inTime := range []string{sign("exp", now.Unix()-60), sign("nbf", now.Unix()+60), sign("aud", "http://shop"), sign("exp", nil)} {
		if got := body(f, bearer(inTime)); got != "" {
			t.Errorf("%s", got)
		}
	}
}

func TestAnswers(t *testing.T) {
	s := newSigners(t)
	f := newFilter(t, &config.JWT{
		Providers: map[string]*config.JWTProvider{"p": {Name: "p", Inline: s.jwks, Audiences: []string{"x"}}},
		Rules:     everywhere(&config.JWTRequirement{Provider: "p"}),
	}, filter.Deps{})
	for _, c := range []struct {
		x                  *stream.Exchange
		status             int
		details, challenge string
	}{
		{request(), 401, "jwt_authn_access_denied{Jwt_is_missing}", `Bearer realm="http://shop.com/cart"`},
		{
			bearer("x"), 401,
			"jwt_authn_access_denied{Jwt_is_not_in_the_form_of_Header.Payload.Signature_with_two_dots_and_3_sections}",
			`Bearer realm="http://shop.com/cart", error="invalid_token"`,
		},
		{
			request("x-forwarded-proto", "https", "authorization", "Bearer "+s.sign(t, "RS256", claims())), 403,
			"jwt_authn_access_denied{Audiences_in_Jwt_are_not_allowed}", `Bearer realm="https://shop.com/cart", error="invalid_token"`,
		},
	} {
		r := f.Request(context.Background(), c.x, nil)
		if r == nil || r.Status != c.status || r.Details != c.details || len(r.Fields) != 1 || r.Fields[0] != (stream.Field{Name: "www-authenticate", Value: c.challenge}) {
			t.Errorf("%+v, want %+v", r, c)
		}
	}
}

func TestRequirements(t *testing.T) {
	s := newSigners(t)
	providers := map[string]*config.JWTProvider{
		"a": {Name: "a", Issuer: "a", Inline: s.jwks},
		"b": {Name: "b", Issuer: "b", Inline: s.jwks, FromHeaders: [][2]string{{"x-b", ""}}},
	}
	a, b := &config.JWTRequirement{Provider: "a"}, &config.JWTRequirement{Provider: "b"}
	maybe, whatever := &config.JWTRequirement{AllowMissing: true}, &config.JWTRequirement{AllowMissingOrFailed: true}
	of := func(list ...*config.JWTRequirement) []*config.JWTRequirement { return list }
	tokenA, tokenB := s.sign(t, "ES256", claims("iss", "a")), s.sign(t, "ES256", claims("iss", "b"))
	old := s.sign(t, "ES256", claims("iss", "a", "exp", 1))
	for i, c := range []struct {
		r    *config.JWTRequirement
		x    *stream.Exchange
		want problem
	}{
		{a, request("x-b", tokenB), missing},
		{b, request("x-b", tokenB), none},
		{&config.JWTRequirement{Provider: "a", Audiences: []string{"no"}}, bearer(tokenA), audienceNotAllowed},
		{&config.JWTRequirement{Provider: "none"}, bearer(tokenA), unknownIssuer},
		{&config.JWTRequirement{Any: of(a, b)}, request("x-b", tokenB), none},
		{&config.JWTRequirement{Any: of(a, b)}, bearer(old), expired},
		{&config.JWTRequirement{Any: of(a, b)}, request(), missing},
		{&config.JWTRequirement{All: of(a, b)}, bearer(tokenA), missing},
		{&config.JWTRequirement{All: of(a, b)}, request("authorization", "Bearer "+tokenA, "x-b", tokenB), none},
		{&config.JWTRequirement{Any: of(a, maybe)}, request(), none},
		{&config.JWTRequirement{Any: of(a, maybe)}, bearer(old), expired},
		{&config.JWTRequirement{Any: of(a, maybe)}, bearer(tokenB), unknownIssuer},
		{&config.JWTRequirement{Any: of(a, whatever)}, bearer(old), none},
		{maybe, request(), none},
		{maybe, bearer(old), expired},
		{maybe, request("x-b", tokenB), none},
		{whatever, bearer("rubbish"), none},
		{&config.JWTRequirement{}, request(), none},
	} {
		f := newFilter(t, &config.JWT{Providers: providers, Rules: everywhere(c.r)}, filter.Deps{})
		if got := body(f, c.x); got != string(c.want) {
			t.Errorf("%d: %q, want %q", i, got, c.want)
		}
	}
}

func TestRulesAndOverrides(t *testing.T) {
	s := newSigners(t)
	need := &config.JWTRequirement{Provider: "p"}
	f := newFilter(t, &config.JWT{
		Providers:    map[string]*config.JWTProvider{"p": {Name: "p", Inline: s.jwks}},
		Rules:        []config.JWTRule{{Match: config.RouteMatch{Path: "/open"}}, {Match: config.RouteMatch{Path: "/c"}, Requirement: need}},
		Requirements: map[string]*config.JWTRequirement{"need": need, "free": {AllowMissing: true}},
		BypassCORS:   true,
	}, filter.Deps{})
	at := func(path string) *stream.Exchange {
		x := request()
		x.Request.Path = path
		return x
	}
	for path, want := range map[string]string{"/open": "", "/c": "Jwt is missing", "/else": ""} {
		if got := body(f, at(path)); got != want {
			t.Errorf("%s: %q", path, got)
		}
	}
	preflight := request("origin", "https://a", "access-control-request-method", "PUT")
	preflight.Request.Method = "OPTIONS"
	if got := body(f, preflight); got != "" {
		t.Errorf("preflight: %s", got)
	}
	for name, want := range map[string]string{"need": "Jwt is missing", "free": "", "none": "Wrong requirement_name: none"} {
		other, err := f.(filter.Overrider).Override(&config.JWTRoute{Requirement: name})
		if err != nil {
			t.Fatal(err)
		}
		if got := body(other, at("/open")); got != want {
			t.Errorf("override %s: %q", name, got)
		}
	}
}

func TestWhatAnAcceptedTokenLeaves(t *testing.T) {
	s := newSigners(t)
	p := &config.JWTProvider{
		Name: "p", Inline: s.jwks, PayloadMetadata: "payload", HeaderMetadata: "header", ForwardHeader: "x-jwt", PadForward: true,
		ClaimHeaders:    [][2]string{{"x-sub", "sub"}, {"x-deep", "a.b"}, {"x-n", "n"}, {"x-list", "l"}, {"x-evil", "evil"}, {"x-no", "no"}},
		NormalizeSpaces: true,
	}
	f := newFilter(t, &config.JWT{Providers: map[string]*config.JWTProvider{"p": p}, Rules: everywhere(&config.JWTRequirement{Provider: "p"})}, filter.Deps{})
	token := s.sign(t, "ES256", claims("a", map[string]any{"b": true}, "n", 12, "l", []int{1}, "scope", "read write", "evil", "a\r\nb: c"))
	x := request("authorization", "Bearer "+token, "x-no", "forged", "x-jwt", "forged")
	if got := body(f, x); got != "" {
		t.Fatal(got)
	}
	for name, want := range map[string]string{
		"x-sub": "user", "x-deep": "true", "x-n": "12", "x-list": b64([]byte("[1]")), "x-evil": "", "x-no": "", "authorization": "",
	} {
		if got := x.Request.Fields.Value(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	payload, _ := base64.URLEncoding.DecodeString(x.Request.Fields.Value("x-jwt"))
	if !strings.Contains(string(payload), `"iss":"me"`) {
		t.Errorf("forwarded %q", payload)
	}
	m := config.MetadataMatch{Filter: metadataName, Path: []string{"payload", "scope"}, Value: config.ValueMatch{
		List: &config.ValueMatch{String: &config.StringMatch{Value: "write"}},
	}}
	if !m.Match(x.Metadata) || x.Metadata[metadataName]["header"].(map[string]any)["alg"] != "ES256" {
		t.Errorf("%v", x.Metadata)
	}
}

func TestPlacesOfTokens(t *testing.T) {
	s := newSigners(t)
	token := s.sign(t, "ES256", claims())
	p := &config.JWTProvider{Name: "p", Inline: s.jwks, FromHeaders: [][2]string{{"x-t", "T "}}, FromParams: []string{"t"}, FromCookies: []string{"c"}}
	f := newFilter(t, &config.JWT{Providers: map[string]*config.JWTProvider{"p": p}, Rules: everywhere(&config.JWTRequirement{Provider: "p"})}, filter.Deps{})
	param := request()
	param.Request.Path = "/p?a=1&t=" + token + "&b=2"
	for i, x := range []*stream.Exchange{
		request("x-t", "T "+token), request("x-t", "T nonsense", "x-t", "T  "+token+", x"), param, request("cookie", "a=b; c="+token),
	} {
		if got := body(f, x); got != "" {
			t.Errorf("%d: %s", i, got)
		}
	}
	if param.Request.Path != "/p?a=1&b=2" {
		t.Errorf("path %s", param.Request.Path)
	}
	if got := body(f, bearer(token)); got != "Jwt is missing" {
		t.Errorf("at a place that isn't configured: %q", got)
	}
}

func TestKeySets(t *testing.T) {
	for jwks, want := range map[string]problem{
		"x": keysBadJSON, "null": keysBadJSON, "{}": keysMissing, `{"keys":1}`: keysNoArray, `{"keys":[]}`: keysNone,
		`{"keys":[1,{"kty":"RSA","n":"AQAB","e":"AQAB"},{"kty":"EC","crv":"P-256","x":"AA","y":"AA"},{"kty":"OKP","crv":"Ed25519","x":"AA"}]}`: keysNone,
		newSigners(t).jwks: none,
	} {
		keys, got := parseKeys([]byte(jwks))
		if got != want || (got == none) != (len(keys) == 5) {
			t.Errorf("%.40s: %s, %d keys", jwks, got, len(keys))
		}
	}
}

func FuzzParse(f *testing.F) {
	s := newSigners(f)
	f.Add(s.sign(f, "RS256", claims()), "Bearer "+s.sign(f, "ES256", claims()))
	f.Add("a.b.c", "Bearer ..")
	f.Add(`e30.e30.`, "x")
	keys, _ := parseKeys([]byte(s.jwks))
	f.Fuzz(func(_ *testing.T, text, header string) {
		if t, problem := parse(text); problem == none {
			verify(t, keys)
			claim(t.payload, "a.b.c")
		}
		_, _ = parseKeys([]byte(text))
		if token, ok := afterPrefix(header, "Bearer "); ok {
			_, _ = parse(token)
		}
		withoutParameter(text, "a")
	})
}

func BenchmarkVerify(b *testing.B) {
	s := newSigners(b)
	for _, alg := range []string{"RS256", "ES256", "EdDSA"} {
		f := newFilter(b, &config.JWT{
			Providers: map[string]*config.JWTProvider{"p": {Name: "p", Inline: s.jwks, Forward: true}},
			Rules:     everywhere(&config.JWTRequirement{Provider: "p"}),
		}, filter.Deps{})
		x := bearer(s.sign(b, alg, claims()))
		b.Run(alg, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if r := f.Request(context.Background(), x, nil); r != nil {
					b.Fatal(r.Body)
				}
			}
		})
	}
}
