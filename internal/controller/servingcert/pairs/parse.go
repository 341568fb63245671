package pairs

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"strings"
)

// Bounds of what is looked at. Real pairs have a tenth of it.
const (
	maxText        = 64 << 10 // bytes of each part
	maxChain       = 8        // certificates in the chain
	maxAuthorities = 64       // certificates in ca.crt, which may be a company's whole bundle
)

// parse gives the chain, leaf first, and the leaf's key.
func (m material) parse() ([]*x509.Certificate, crypto.Signer, error) {
	for _, p := range []part{m.cert, m.key, m.ca} {
		if len(p.text) > maxText {
			return nil, nil, refuse(TooLarge, p.name, "has %d bytes, at most %d are read; leave only what belongs to this certificate", len(p.text), maxText)
		}
	}
	chain, err := m.cert.certificates(maxChain)
	if err != nil {
		return nil, nil, err
	}
	key, err := m.key.privateKey()
	if err != nil {
		return nil, nil, err
	}
	return chain, key, m.match(chain, key)
}

// certificates reads every certificate of a PEM text. Text between the blocks and blocks of other types are no fault,
// since tools write both; a block that looks like one and can't be read is.
func (p part) certificates(most int) ([]*x509.Certificate, error) {
	if blank(p.text) {
		return nil, refuse(Missing, p.name, "is missing or empty; put the certificate there in PEM, and after it those that it was issued by")
	}
	var all []*x509.Certificate
	blocks := 0
	for block, rest := pem.Decode(p.text); block != nil; block, rest = pem.Decode(rest) {
		if blocks++; block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, refuse(Unparsable, p.name, "certificate %d of it can't be read (%v); write it anew", len(all)+1, err)
		}
		if all = append(all, c); len(all) > most {
			return nil, refuse(TooLarge, p.name, "has more than %d certificates; leave only the chain of this one", most)
		}
	}
	if begun := bytes.Count(p.text, []byte("-----BEGIN ")); begun != blocks {
		return nil, refuse(Unparsable, p.name, "%d PEM blocks begin, but only %d can be read; each BEGIN and END has to be on a line of its own, with base64 between them", begun, blocks)
	}
	if len(all) == 0 {
		return nil, refuse(Unparsable, p.name, "has no PEM block CERTIFICATE; it needs the certificate in PEM, not DER or PKCS #12")
	}
	return all, nil
}

func blank(text []byte) bool { return len(bytes.TrimSpace(text)) == 0 }

// privateKey reads the first private key. What the parsers say isn't repeated: it is about the inside of a key.
func (p part) privateKey() (crypto.Signer, error) {
	if blank(p.text) {
		return nil, refuse(Missing, p.name, "is missing or empty; put the certificate's private key there in PEM")
	}
	for block, rest := pem.Decode(p.text); block != nil; block, rest = pem.Decode(rest) {
		if !strings.HasSuffix(block.Type, "PRIVATE KEY") {
			continue // "EC PARAMETERS" comes before some keys
		}
		if block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "" {
			return nil, refuse(Unparsable, p.name, "is encrypted; store it without a passphrase")
		}
		key, ok := parseKey(block)
		if !ok {
			return nil, refuse(Unparsable, p.name, "its PEM block isn't a private key in PKCS #8, PKCS #1 or SEC 1; write it anew")
		}
		return key, nil
	}
	return nil, refuse(Unparsable, p.name, "has no PEM block PRIVATE KEY; it needs the certificate's private key in PEM")
}

// parseKey goes by the block's type, and where that is none of the well-known ones takes it for PKCS #8.
func parseKey(block *pem.Block) (crypto.Signer, bool) {
	var key any
	var err error
	switch block.Type {
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	default:
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	}
	signer, ok := key.(crypto.Signer)
	return signer, ok && err == nil
}

// match says that the key is that of the chain's first certificate.
func (m material) match(chain []*x509.Certificate, key crypto.Signer) error {
	for i, c := range chain {
		public, ok := c.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
		if !ok || !public.Equal(key.Public()) {
			continue
		}
		if i == 0 {
			return nil
		}
		return refuse(KeyMismatch, m.cert.name, "the key belongs to certificate %d of it; put that one first, and then each before the one that issued it", i+1)
	}
	return refuse(KeyMismatch, m.key.name, "is the key of another certificate (its public key is %s, that of %s is %s); write both from the same issuance",
		publicID(key.Public()), m.cert.name, publicID(chain[0].PublicKey))
}

// publicID is a short name of a public key.
func publicID(public crypto.PublicKey) string {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return "unknown"
	}
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:4])
}
