package pairs

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// RSA keys that every API server takes. crypto/tls, which they use, refuses larger ones in a handshake.
const (
	minRSA = 2048
	maxRSA = 8192
)

// judge says that an API server that trusts the right CA would take the chain now, under each of names.
func (m material) judge(chain []*x509.Certificate, names []string, now time.Time) error {
	leaf := chain[0]
	for i, c := range chain {
		if err := usable(c.PublicKey); err != nil {
			return refuse(KeyUnsupported, m.cert.name, "certificate %d has %v", i+1, err)
		}
	}
	if missing := without(leaf, names); len(missing) > 0 {
		return refuse(NamesMissing, m.cert.name, "isn't for %s (it is for %s); have it issued for all of %s",
			list(missing), list(namesOf(leaf)), list(names))
	}
	if !forServers(leaf) {
		return refuse(UsageMissing, m.cert.name, "its extended key usage lacks serverAuth; have it issued with that, or without the extension")
	}
	return inTime(m.cert.name, leaf, now)
}

// usable refuses what some API servers do. Ed25519 is fine by the standard, but not on every hosted control plane.
func usable(public crypto.PublicKey) error {
	switch key := public.(type) {
	case *ecdsa.PublicKey:
		if key.Curve == elliptic.P224() {
			return errors.New("an ECDSA key of P-224, which TLS 1.3 doesn't know; use P-256")
		}
	case *rsa.PublicKey:
		if bits := key.N.BitLen(); bits < minRSA || bits > maxRSA {
			return fmt.Errorf("an RSA key of %d bits, want %d to %d; use 2048, or ECDSA P-256", bits, minRSA, maxRSA)
		}
	case ed25519.PublicKey:
		return errors.New("an Ed25519 key, which some API servers reject; use ECDSA P-256, or RSA of 2048 bits or more")
	default:
		return errors.New("a key that is neither ECDSA nor RSA; use ECDSA P-256, or RSA of 2048 bits or more")
	}
	return nil
}

func without(leaf *x509.Certificate, names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return leaf.VerifyHostname(name) == nil })
}

// namesOf are the subject alternative names. The common name isn't one: nobody has looked at it for years.
func namesOf(leaf *x509.Certificate) []string {
	all := slices.Clone(leaf.DNSNames)
	for _, ip := range leaf.IPAddresses {
		all = append(all, ip.String())
	}
	return all
}

func forServers(leaf *x509.Certificate) bool {
	if len(leaf.ExtKeyUsage)+len(leaf.UnknownExtKeyUsage) == 0 {
		return true
	}
	return slices.ContainsFunc(leaf.ExtKeyUsage, func(u x509.ExtKeyUsage) bool {
		return u == x509.ExtKeyUsageServerAuth || u == x509.ExtKeyUsageAny
	})
}

func inTime(object string, c *x509.Certificate, now time.Time) error {
	if now.Before(c.NotBefore) {
		return refuse(NotYetValid, object, "starts at %s; until then it can't be served. If that is past, this replica's node has a wrong clock", stamp(c.NotBefore))
	}
	if now.After(c.NotAfter) {
		return refuse(Expired, object, "ended at %s; replace it", stamp(c.NotAfter))
	}
	return nil
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// list is a few words of a list that may be long.
func list(words []string) string {
	const most = 8
	if len(words) == 0 {
		return "no name"
	}
	if len(words) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(words[:most], ", "), len(words)-most)
	}
	return strings.Join(words, ", ")
}
