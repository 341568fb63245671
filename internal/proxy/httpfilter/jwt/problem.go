package jwt

// problem is what is wrong with a token or with the keys, in Envoy's words: they are the body of the answer, and what
// users search for.
type problem string

// none is no problem.
const none problem = ""

// What is wrong with a token.
const (
	missing            problem = "Jwt is missing"
	notYetValid        problem = "Jwt not yet valid"
	expired            problem = "Jwt is expired"
	badFormat          problem = "Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections"
	headerBadBase64    problem = "Jwt header is an invalid Base64url encoded"
	headerBadJSON      problem = "Jwt header is an invalid JSON"
	badAlg             problem = "Jwt header [alg] field is required and must be a string"
	unknownAlg         problem = "Jwt header [alg] is not supported"
	badKid             problem = "Jwt header [kid] field is not a string"
	payloadBadBase64   problem = "Jwt payload is an invalid Base64url encoded"
	payloadBadJSON     problem = "Jwt payload is an invalid JSON"
	badIss             problem = "Jwt payload [iss] field is not a string"
	badSub             problem = "Jwt payload [sub] field is not a string"
	badJti             problem = "Jwt payload [jti] field is not a string"
	badAud             problem = "Jwt payload [aud] field is not a string or string list"
	signatureBadBase64 problem = "Jwt signature is an invalid Base64url encoded"
	wrongEdLength      problem = "Jwt ED25519 signature is wrong length"
	unknownIssuer      problem = "Jwt issuer is not configured"
	audienceNotAllowed problem = "Audiences in Jwt are not allowed"
	verificationFails  problem = "Jwt verification fails"
)

// What is wrong with a claim that is a time; it stands in the middle.
const (
	claimBefore     = "Jwt payload ["
	claimNotInteger = "] field is not an integer"
	claimRange      = "] field is not a positive 64 bit integer"
)

// What is wrong with keys.
const (
	keysBadJSON  problem = "Jwks is an invalid JSON"
	keysMissing  problem = "Jwks does not have [keys] field"
	keysNoArray  problem = "[keys] in Jwks is not an array"
	keysNone     problem = "Jwks doesn't have any valid public key"
	keysMismatch problem = "Jwks doesn't have key to match kid or alg from Jwt"
	keysFetch    problem = "Jwks remote fetch is failed"
)

// String is the text, or OK.
func (p problem) String() string {
	if p == none {
		return "OK"
	}
	return string(p)
}
