package servingcert

import (
	"crypto/x509"
	"errors"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// Keys and annotations of the Secret.
const (
	keyActiveCert = "active.crt"
	keyActiveKey  = "active.key"
	keyNextCert   = "next.crt"
	keyNextKey    = "next.key"
	keyPrevCert   = "prev.crt"

	annotationPhase      = "pillion.dev/phase"
	annotationPhaseSince = "pillion.dev/phase-since"
	annotationRotation   = "pillion.dev/rotation"

	phaseSteady = "Steady"
)

// stored is the Secret's meaning. Active signs; the others are only trusted.
type stored struct {
	Active *pair
	Next   *pair
	Prev   *x509.Certificate
}

// decode reads a Secret. What can't be used is left out; the error says why Active is missing, and then salvaged is
// its certificate if at least that could be read, for replicas may still serve leaves of it.
func decode(data map[string][]byte) (s stored, salvaged *x509.Certificate, err error) {
	if next, err := parsePair(data[keyNextCert], data[keyNextKey]); err == nil {
		s.Next = next
	}
	if prev, err := parseCertificate(data[keyPrevCert]); err == nil {
		s.Prev = prev
	}
	if len(data[keyActiveCert]) == 0 {
		return s, nil, errors.New(keyActiveCert + " is missing")
	}
	if s.Active, err = parsePair(data[keyActiveCert], data[keyActiveKey]); err == nil {
		return s, nil, nil
	}
	salvaged, _ = parseCertificate(data[keyActiveCert])
	return s, salvaged, err
}

// encode writes s into secret, keeping what others put there.
func (s stored) encode(secret *corev1.Secret, now time.Time) error {
	key, err := encodeKey(s.Active.Key)
	if err != nil {
		return err
	}
	data := map[string][]byte{keyActiveCert: encodeCertificate(s.Active.Cert), keyActiveKey: key}
	if s.Next != nil {
		if data[keyNextKey], err = encodeKey(s.Next.Key); err != nil {
			return err
		}
		data[keyNextCert] = encodeCertificate(s.Next.Cert)
	}
	if s.Prev != nil {
		data[keyPrevCert] = encodeCertificate(s.Prev)
	}
	secret.Data = data
	if secret.Annotations == nil {
		secret.Annotations = map[string]string{}
	}
	if _, err := strconv.Atoi(secret.Annotations[annotationRotation]); err != nil {
		secret.Annotations[annotationRotation] = "0"
	}
	secret.Annotations[annotationPhase] = phaseSteady
	secret.Annotations[annotationPhaseSince] = now.UTC().Format(time.RFC3339)
	return nil
}

// certificates are all that API servers have to trust: those stored, and the CA of a leaf that is still being served.
func (s stored) certificates(served *leaf) []*x509.Certificate {
	var all []*x509.Certificate
	if s.Active != nil {
		all = append(all, s.Active.Cert)
	}
	if s.Next != nil {
		all = append(all, s.Next.Cert)
	}
	if s.Prev != nil {
		all = append(all, s.Prev)
	}
	if served != nil {
		all = append(all, served.ca)
	}
	return all
}
