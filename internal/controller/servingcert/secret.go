package servingcert

import (
	"crypto/x509"
	"errors"
	"fmt"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/controller/servingcert/rotation"
)

// Keys of the Secret. A CA without a key is somebody else's, or one that is on its way out.
const (
	keyActiveCert  = "active.crt"
	keyActiveKey   = "active.key"
	keyNextCert    = "next.crt"
	keyNextKey     = "next.key"
	keyPrevCert    = "prev.crt"
	keyTrustedCert = "trusted.crt"
)

// annotationKind is "compromised" while a rotation with short dwell times is under way.
const annotationKind = "pillion.dev/rotation-kind"

// stored is the Secret's content: the state, and what its CAs are.
type stored struct {
	rotation.State
	cas map[rotation.ID]*authority
}

func (s *stored) add(a *authority) rotation.CA {
	if a == nil {
		return rotation.CA{}
	}
	if s.cas == nil {
		s.cas = map[rotation.ID]*authority{}
	}
	ca := a.ca()
	if known := s.cas[ca.ID]; known == nil || known.Key == nil {
		s.cas[ca.ID] = a
	}
	return ca
}

// with is the state s, whose CAs are among those of all.
func with(s rotation.State, all ...stored) stored {
	merged := stored{State: s}
	for _, other := range all {
		for id, a := range other.cas {
			if s.Has(id) {
				merged.add(a)
			}
		}
	}
	return merged
}

// decode reads as much as can be read. Its error says what couldn't.
func decode(secret *corev1.Secret) (stored, error) {
	s := stored{State: rotation.State{
		Phase:   rotation.Phase(secret.Annotations[v1alpha1.AnnotationPhase]),
		Fast:    secret.Annotations[annotationKind] == v1alpha1.RotateCompromised,
		Request: request(secret.Annotations[v1alpha1.AnnotationRotate]),
	}}
	s.Since, _ = time.Parse(time.RFC3339Nano, secret.Annotations[v1alpha1.AnnotationPhaseSince]) // zero: not known
	if count, err := strconv.Atoi(secret.Annotations[v1alpha1.AnnotationRotation]); err == nil && count > 0 {
		s.Count = min(count, 1<<30)
	}
	active, faultOfActive := decodeAuthority(secret.Data, keyActiveCert, keyActiveKey)
	next, faultOfNext := decodeAuthority(secret.Data, keyNextCert, keyNextKey)
	if faultOfNext != nil {
		next = nil // another is made
	}
	s.Active, s.Next = s.add(active), s.add(next)
	if prev := parseCertificates(secret.Data[keyPrevCert]); len(prev) > 0 {
		s.Prev = s.add(&authority{Cert: prev[0]})
	}
	for _, cert := range parseCertificates(secret.Data[keyTrustedCert]) {
		s.Trusted = append(s.Trusted, s.add(&authority{Cert: cert}))
	}
	return s, errors.Join(faultOfActive, faultOfNext)
}

func request(annotation string) rotation.Request {
	switch r := rotation.Request(annotation); r {
	case rotation.Rotate, rotation.Compromised:
		return r
	}
	return rotation.NoRequest
}

// decodeAuthority reads a certificate and, if there is one, its key. With a fault there may still be the certificate.
func decodeAuthority(data map[string][]byte, certKey, keyKey string) (*authority, error) {
	if len(data[certKey]) == 0 && len(data[keyKey]) == 0 {
		return nil, nil
	}
	cert, err := parseCertificate(data[certKey])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", certKey, err)
	}
	if len(data[keyKey]) == 0 {
		return &authority{Cert: cert}, nil
	}
	key, err := parseKey(data[keyKey], cert)
	if err != nil {
		return &authority{Cert: cert}, fmt.Errorf("%s: %w", keyKey, err)
	}
	return &authority{Cert: cert, Key: key}, nil
}

// encode makes the Secret say s, and nothing else of ours. A key is written only while it is to be signed with.
func (s stored) encode(secret *corev1.Secret) error {
	data := map[string][]byte{}
	err := errors.Join(s.encodeAuthority(data, s.Active, keyActiveCert, keyActiveKey), s.encodeAuthority(data, s.Next, keyNextCert, keyNextKey))
	if err != nil {
		return err
	}
	if prev := s.cas[s.Prev.ID]; prev != nil {
		data[keyPrevCert] = encodeCertificate(prev.Cert)
	}
	for _, ca := range s.Trusted {
		if a := s.cas[ca.ID]; a != nil {
			data[keyTrustedCert] = append(data[keyTrustedCert], encodeCertificate(a.Cert)...)
		}
	}
	secret.Data = data
	s.annotate(secret)
	return nil
}

func (s stored) encodeAuthority(data map[string][]byte, ca rotation.CA, certKey, keyKey string) error {
	a := s.cas[ca.ID]
	if a == nil {
		return nil
	}
	data[certKey] = encodeCertificate(a.Cert)
	if a.Key == nil {
		return nil
	}
	text, err := encodeKey(a.Key)
	data[keyKey] = text
	return err
}

func (s stored) annotate(secret *corev1.Secret) {
	if secret.Annotations == nil {
		secret.Annotations = map[string]string{}
	}
	kind := ""
	if s.Fast {
		kind = v1alpha1.RotateCompromised
	}
	for name, value := range map[string]string{
		v1alpha1.AnnotationPhase:      string(s.Phase),
		v1alpha1.AnnotationPhaseSince: s.Since.UTC().Format(time.RFC3339Nano),
		v1alpha1.AnnotationRotation:   strconv.Itoa(s.Count),
		v1alpha1.AnnotationRotate:     string(s.Request),
		annotationKind:                kind,
	} {
		secret.Annotations[name] = value
		if value == "" {
			delete(secret.Annotations, name)
		}
	}
}

// bundle are the certificates of rotation's choice, for bytes see pemOf.
func (s stored) bundle(served *leaf, now time.Time, t rotation.Times) []*x509.Certificate {
	var all []*x509.Certificate
	for _, ca := range s.Bundle(served.authority(), now, t) {
		switch a := s.cas[ca.ID]; {
		case a != nil:
			all = append(all, a.Cert)
		case served != nil && ca.ID == served.id:
			all = append(all, served.ca)
		}
	}
	return all
}
