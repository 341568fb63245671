package rotation

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
)

// TestSecretIsHarmed in each phase of a rotation, and when there is none.
func TestSecretIsHarmed(t *testing.T) {
	w := begin(t, 3)
	for _, harm := range []struct {
		name string
		do   func(*corev1.Secret)
	}{
		{"deleted", nil},
		{"another key", func(s *corev1.Secret) { _, s.Data["active.key"] = foreignCA(t) }},
		{"a foreign CA with our name", func(s *corev1.Secret) { s.Data["active.crt"], s.Data["active.key"] = foreignCA(t) }},
	} {
		mark := w.rotate("true")
		for _, phase := range underWay {
			w.reach(mark, phase)
			w.harm(harm.do)
		}
		w.completed(mark)
		mark = w.steps.count()
		w.harm(harm.do)
		w.Eventually("all is quiet again", w.settled)
		t.Logf("%s: in Steady: %s", harm.name, w.steps.since(mark))
	}
	w.noLoss()
}

// harm changes the Secret, or deletes it, and waits until memory has healed it.
func (w *world) harm(change func(*corev1.Secret)) {
	w.T.Helper()
	var bad *corev1.Secret
	w.Eventually("the Secret is harmed", func() error {
		s := w.secret()
		if change == nil {
			return w.Client.Delete(w.Ctx(), s)
		}
		bad = s.DeepCopy()
		change(bad)
		return w.Client.Update(w.Ctx(), bad)
	})
	w.Eventually("memory has healed the Secret", func() error {
		s := &corev1.Secret{}
		if err := w.Client.Get(w.Ctx(), client.ObjectKey{Namespace: w.Namespace, Name: v1alpha1.ServingCASecret("pillion")}, s); err != nil {
			return err
		}
		if bad != nil && bytes.Equal(s.Data["active.key"], bad.Data["active.key"]) {
			return errors.New("it is as bad as it was")
		}
		return nil
	})
}

// foreignCA has our name.
func foreignCA(t *testing.T) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "pillion-serving-ca 01234567"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(365 * 24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	must(t, err)
	text, err := x509.MarshalPKCS8PrivateKey(private)
	must(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: text})
}
