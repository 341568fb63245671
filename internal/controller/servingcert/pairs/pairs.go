// Package pairs reads serving certificates that others issued: cert-manager, or a user by a Secret or by files.
//
// In come the PEM of a certificate chain, its private key and perhaps its CA, the names that API servers call us by, and
// the time; out comes a Pair that can be served as it is, or a Refused that names the object, what is wrong with it and
// what to do. Nothing here decides when a pair is served: a pair is only ever a candidate. Read this file first, then
// parse.go (PEM to certificates and key), judge.go (is it ours, now), chain.go (which CA API servers have to trust),
// files.go (the three files and half-written ones), secret.go (the API server's ways to refuse), watch.go and expiry.go.
package pairs

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// Keys of a Secret. They are those of type kubernetes.io/tls and of cert-manager.
const (
	KeyCertificate = corev1.TLSCertKey
	KeyPrivate     = corev1.TLSPrivateKeyKey
	KeyCA          = "ca.crt"
)

// Pair is a certificate with its key, fit to be served at the time it was read.
type Pair struct {
	Certificate tls.Certificate     // the chain as given, with Leaf
	CA          *x509.Certificate   // what API servers have to trust; CAs[0]. Without CA:TRUE if it is the leaf itself
	CAs         []*x509.Certificate // all that verify the chain, longest validity first, at most maxAnchors
	Ends        time.Time           // when the first certificate on the way from the leaf to CA ends
	Origin      string              // "Secret namespace/name" or "files a, b, c"
}

// Why a pair is refused. They are reasons of the condition CertificatesReady.
const (
	Missing        = "Missing"        // the object, or a part of it
	Unreadable     = "Unreadable"     // a file that is there
	Forbidden      = "Forbidden"      // the operator's Role lacks the Secret
	TooLarge       = "TooLarge"       // more than any pair needs
	Unparsable     = "Unparsable"     // not PEM, or not what it says it is
	KeyUnsupported = "KeyUnsupported" // an algorithm or size that some API servers don't take
	KeyMismatch    = "KeyMismatch"    // the key is another certificate's
	NamesMissing   = "NamesMissing"   // API servers call us by a name that it hasn't
	UsageMissing   = "UsageMissing"   // not for servers
	NotYetValid    = "NotYetValid"
	Expired        = "Expired"
	NoCA           = "NoCA"        // nothing says which CA to trust
	ChainBroken    = "ChainBroken" // the CA doesn't verify it
)

// Refused says why a pair can't be served: which object, what is there, what should be, what to do. It never has any of
// the key in it.
type Refused struct{ Reason, Message string }

func (r *Refused) Error() string { return r.Message }

func refuse(reason, object, format string, args ...any) error {
	return &Refused{Reason: reason, Message: object + ": " + fmt.Sprintf(format, args...)}
}

// FromSecret reads a pair for names, which may be addresses. Its error is a *Refused.
func FromSecret(secret *corev1.Secret, names []string, now time.Time) (*Pair, error) {
	origin := "Secret " + secret.Namespace + "/" + secret.Name
	text := func(key string) part { return part{name: origin + ", key " + key, text: secret.Data[key]} }
	m := material{origin: origin, cert: text(KeyCertificate), key: text(KeyPrivate), ca: text(KeyCA)}
	return m.pair(names, now)
}

// part is one PEM text, and what messages call it.
type part struct {
	name string
	text []byte
}

// material is what a pair is made of.
type material struct {
	origin        string
	cert, key, ca part // ca may be empty
}

func (m material) pair(names []string, now time.Time) (*Pair, error) {
	chain, key, err := m.parse()
	if err != nil {
		return nil, err
	}
	if err := m.judge(chain, names, now); err != nil {
		return nil, err
	}
	anchors, err := m.anchors(chain, now)
	if err != nil {
		return nil, err
	}
	p := &Pair{Origin: m.origin, CA: anchors[0].ca, Ends: anchors[0].ends}
	p.Certificate = tls.Certificate{PrivateKey: key, Leaf: chain[0]}
	for _, c := range chain {
		p.Certificate.Certificate = append(p.Certificate.Certificate, c.Raw)
	}
	for _, a := range anchors {
		p.CAs = append(p.CAs, a.ca)
	}
	return p, nil
}
