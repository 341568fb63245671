package servingcert

import (
	"context"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
)

// FuzzSecret puts anything into the Secret: the leader must come up with a leaf and a bundle that verifies it.
func FuzzSecret(f *testing.F) {
	good, other := ca(f, time.Hour), ca(f, time.Hour)
	key, err := encodeKey(good.Key)
	if err != nil {
		f.Fatal(err)
	}
	cert, next := encodeCertificate(good.Cert), encodeCertificate(other.Cert)
	f.Add([]byte(nil), []byte(nil), []byte(nil), []byte(nil), []byte(nil))
	f.Add(cert, key, next, key, next)
	f.Add(cert, []byte("garbage"), next, []byte(nil), cert)
	f.Add(next, key, cert, key, []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))
	f.Add(append(cert, next...), key, cert, key, cert)
	f.Fuzz(func(t *testing.T, activeCert, activeKey, nextCert, nextKey, prevCert []byte) {
		secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "pillion-serving-ca", Namespace: "ns"}, Data: map[string][]byte{
			keyActiveCert: activeCert, keyActiveKey: activeKey, keyNextCert: nextCert, keyNextKey: nextKey, keyPrevCert: prevCert}}
		api := fake.NewClientBuilder().WithObjects(secret).Build()
		c, err := New(Options{Service: "pillion", Namespace: "ns", ClusterDomain: "cluster.local"}, Deps{Client: api, Live: api,
			Leader: func() bool { return true }, Now: func() time.Time { return start }, Jitter: func() float64 { return 0 },
			Log: logr.Discard(), Metrics: prometheus.NewRegistry()})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Step(context.Background()); err != nil {
			t.Fatal(err)
		}
		e := entry{server: "pillion.ns.svc", caBundle: c.Bundle()}
		if err := e.verify(c.leaf.Load(), start); err != nil {
			t.Fatal(err)
		}
	})
}
