package certmanager

import (
	"cmp"
	"slices"
	"time"

	cmv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	cmmeta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

const (
	group = "cert-manager.io"
	// caLife is a CA's of our own, at least; see caDuration.
	caLife = 8760 * time.Hour
)

// objects are what has to be there, each after those that it refers to. The last one is the serving Certificate.
func (w Want) objects() ([]*unstructured.Unstructured, error) {
	var all []runtime.Object
	ref := cmmeta.IssuerReference{Name: w.caName(), Kind: cmv1.IssuerKind, Group: group}
	if w.IssuerRef != nil {
		ref = w.issuer()
	} else {
		all = append(all, w.selfSigned(), w.ca(), w.caIssuer())
	}
	all = append(all, w.serving(ref))
	rendered := make([]*unstructured.Unstructured, len(all))
	for i, object := range all {
		content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
		if err != nil {
			return nil, err
		}
		// Those are the API server's and cert-manager's; an apply would claim them.
		unstructured.RemoveNestedField(content, "status")
		unstructured.RemoveNestedField(content, "metadata", "creationTimestamp")
		rendered[i] = &unstructured.Unstructured{Object: content}
	}
	return rendered, nil
}

func (w Want) selfSignedName() string { return w.Service + "-selfsigned" }
func (w Want) caName() string         { return w.Service + "-ca" }
func (w Want) servingName() string    { return w.Service + "-serving" }

// issuer is the user's, with the defaults of the API.
func (w Want) issuer() cmmeta.IssuerReference {
	return cmmeta.IssuerReference{Name: w.IssuerRef.Name, Kind: cmp.Or(w.IssuerRef.Kind, cmv1.IssuerKind), Group: cmp.Or(w.IssuerRef.Group, group)}
}

func (w Want) meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: name, Namespace: w.Namespace,
		Labels: map[string]string{"app.kubernetes.io/name": "pillion", LabelService: w.Service}}
}

func typeOf(kind string) metav1.TypeMeta {
	return metav1.TypeMeta{APIVersion: cmv1.SchemeGroupVersion.String(), Kind: kind}
}

func (w Want) selfSigned() *cmv1.Issuer {
	config := cmv1.IssuerConfig{SelfSigned: &cmv1.SelfSignedIssuer{}}
	return &cmv1.Issuer{TypeMeta: typeOf(cmv1.IssuerKind), ObjectMeta: w.meta(w.selfSignedName()), Spec: cmv1.IssuerSpec{IssuerConfig: config}}
}

func (w Want) caIssuer() *cmv1.Issuer {
	config := cmv1.IssuerConfig{CA: &cmv1.CAIssuer{SecretName: w.caSecret()}}
	return &cmv1.Issuer{TypeMeta: typeOf(cmv1.IssuerKind), ObjectMeta: w.meta(w.caName()), Spec: cmv1.IssuerSpec{IssuerConfig: config}}
}

// caSecret isn't <service>-serving-ca: that is the Secret of the operator's own CAs.
func (w Want) caSecret() string { return w.Service + "-ca-tls" }

func (w Want) ca() *cmv1.Certificate {
	c := w.certificate(w.caName(), w.caSecret(), w.caDuration(), cmmeta.IssuerReference{Name: w.selfSignedName(), Kind: cmv1.IssuerKind, Group: group})
	c.Spec.IsCA = true
	c.Spec.CommonName = w.caName() // a CA needs a subject: chains are built by it
	c.Spec.Usages = []cmv1.KeyUsage{cmv1.UsageCertSign, cmv1.UsageCRLSign, cmv1.UsageDigitalSignature}
	return c
}

// caDuration is so long that a certificate issued just before the CA is replaced, at a third of its life, doesn't
// outlive it: cert-manager doesn't see to that.
func (w Want) caDuration() time.Duration { return max(caLife, 3*w.Duration.Duration) }

func (w Want) serving(ref cmmeta.IssuerReference) *cmv1.Certificate {
	c := w.certificate(w.servingName(), cmp.Or(w.SecretName, SecretName(w.Service)), w.Duration.Duration, ref)
	c.Spec.DNSNames, c.Spec.IPAddresses = sorted(w.DNSNames), sorted(w.Addresses)
	c.Spec.Usages = []cmv1.KeyUsage{cmv1.UsageDigitalSignature, cmv1.UsageServerAuth}
	return c
}

// certificate has what both have. Ed25519 isn't for API servers, see servingcert/pairs; a key that stays the same for
// ever isn't for anybody.
func (w Want) certificate(name, secret string, life time.Duration, ref cmmeta.IssuerReference) *cmv1.Certificate {
	return &cmv1.Certificate{TypeMeta: typeOf(cmv1.CertificateKind), ObjectMeta: w.meta(name), Spec: cmv1.CertificateSpec{
		SecretName:           secret,
		Duration:             &metav1.Duration{Duration: life},
		RenewBefore:          &metav1.Duration{Duration: (life / 3).Truncate(time.Second)},
		PrivateKey:           &cmv1.CertificatePrivateKey{Algorithm: cmv1.ECDSAKeyAlgorithm, Size: 256, RotationPolicy: cmv1.RotationPolicyAlways},
		RevisionHistoryLimit: new(int32(1)),
		IssuerRef:            ref,
	}}
}

// sorted makes the same list of the same names, so that their order alone causes no write and no new certificate.
func sorted(names []string) []string {
	names = slices.Clone(names)
	slices.Sort(names)
	return slices.Compact(names)
}
