package injector

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
)

// serving is an Injector of one certificates source.
func serving(name string, second int64, source v1alpha1.CertificatesSource, edit ...func(*v1alpha1.Certificates)) *v1alpha1.Injector {
	inj := made(name, name, second)
	inj.Spec.Certificates.Source = source
	for _, e := range edit {
		e(&inj.Spec.Certificates)
	}
	v1alpha1.SetDefaults(inj)
	return inj
}

func TestTheOldestInjectorDecides(t *testing.T) {
	const (
		own  = v1alpha1.CertificatesSelfManaged
		cm   = v1alpha1.CertificatesCertManager
		file = v1alpha1.CertificatesProvided
	)
	clusterIssuer := func(c *v1alpha1.Certificates) {
		c.CertManager.IssuerRef = &v1alpha1.IssuerRef{Name: "mesh-ca", Kind: "ClusterIssuer"}
	}
	for _, row := range []struct {
		name  string
		both  []*v1alpha1.Injector
		by    string
		other string // the disagreement of the one that doesn't decide
	}{
		{"none", nil, "", ""},
		{"older", []*v1alpha1.Injector{serving("b", 1, cm), serving("a", 2, file)}, "b", `older Injector "b" decides for all Injectors of this operator, and its spec.certificates.source is CertManager; set it there`},
		{"same age", []*v1alpha1.Injector{serving("b", 1, cm), serving("a", 1, file)}, "a", "source is Provided"},
		{"same", []*v1alpha1.Injector{serving("b", 1, cm), serving("a", 2, cm)}, "b", ""},
		{"younger has the defaults", []*v1alpha1.Injector{serving("b", 1, cm), serving("a", 2, own)}, "b", ""},
		{"older has the defaults", []*v1alpha1.Injector{serving("b", 1, own), serving("a", 2, cm)}, "b", "source is SelfManaged"},
		{"bundle", []*v1alpha1.Injector{serving("b", 1, cm), serving("a", 2, cm, func(c *v1alpha1.Certificates) { c.CABundle = "External" })}, "b", "caBundle is Manage"},
		{"probe", []*v1alpha1.Injector{serving("b", 1, own), serving("a", 2, own, func(c *v1alpha1.Certificates) { c.Probe = "Off" })}, "b", "probe is Auto"},
		{"CA", []*v1alpha1.Injector{serving("b", 1, own), serving("a", 2, own, func(c *v1alpha1.Certificates) { c.SelfManaged.CADuration.Duration = 96 * time.Hour })}, "b", "selfManaged.caDuration is 8760h0m0s"},
		{"issuer", []*v1alpha1.Injector{serving("b", 1, cm, clusterIssuer), serving("a", 2, cm)}, "b", "certManager.issuerRef is ClusterIssuer.cert-manager.io/mesh-ca"},
		{"no issuer", []*v1alpha1.Injector{serving("b", 1, cm), serving("a", 2, cm, clusterIssuer)}, "b", "certManager.issuerRef is unset"},
		{"Secret", []*v1alpha1.Injector{serving("b", 1, file), serving("a", 2, file, func(c *v1alpha1.Certificates) {
			c.Provided.SecretRef = &v1alpha1.LocalSecret{Name: "s"}
		})}, "b", "provided.secretRef is unset"},
		{"another source's field", []*v1alpha1.Injector{serving("b", 1, own), serving("a", 2, own, clusterIssuer)}, "b", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			identity := identify(row.both)
			if identity.Injector != row.by {
				t.Errorf("%q decides, want %q", identity.Injector, row.by)
			}
			for _, inj := range row.both {
				got := identity.disagreement(inj)
				if (inj.Name == row.by || row.other == "") != (got == "") || inj.Name != row.by && !strings.Contains(got, row.other) {
					t.Errorf("Injector %s disagrees: %q, want %q", inj.Name, got, row.other)
				}
			}
		})
	}
}

func TestDecidedCertificatesAreNobodyElses(t *testing.T) {
	inj := serving("a", 1, v1alpha1.CertificatesProvided, func(c *v1alpha1.Certificates) { c.Provided.SecretRef = &v1alpha1.LocalSecret{Name: "s"} })
	w := newWorld(t, inj)
	w.must(w.reconcile("a"))
	w.c.Compiler.Certificates().Provided.SecretRef.Name = "changed"
	if name := w.c.Compiler.Certificates().Provided.SecretRef.Name; name != "s" {
		t.Errorf("a caller changed it to %q", name)
	}
}

// TestCertificatesOutliveFaultyEdits: neither an edit that isn't valid nor a new Injector that never was changes them,
// nor a restart.
func TestCertificatesOutliveFaultyEdits(t *testing.T) {
	old := serving("default", 2, v1alpha1.CertificatesCertManager)
	old.UID = "u1"
	w := newWorld(t, old)
	if c := w.c.Compiler.Certificates(); c.Source != v1alpha1.CertificatesSelfManaged || w.c.Compiler.CertificatesKnown() {
		t.Errorf("before anything was read: %s, known %t", c.Source, w.c.Compiler.CertificatesKnown())
	}
	w.must(w.reconcile("default"))
	w.edit("default", func(i *v1alpha1.Injector) {
		i.Spec.Certificates.Source = v1alpha1.CertificatesProvided
		i.Spec.Certificates.CertManager.Duration.Duration = time.Second
	})
	never := serving("never", 1, v1alpha1.CertificatesProvided)
	broken(never)
	w.must(w.api.Create(context.Background(), never))
	for range 2 {
		w.must(w.reconcile("default"))
		if c := w.c.Compiler.Certificates(); c.Source != v1alpha1.CertificatesCertManager || !w.c.Compiler.CertificatesKnown() {
			t.Errorf("certificates are now from %s", c.Source)
		}
		if c := w.condition("default", v1alpha1.ConditionAccepted); c.Reason != "Invalid" {
			t.Errorf("%+v", c)
		}
		w.restart()
	}
}

// TestCertificatesWaitForTheOldest: while its last good version can't be read, no other one decides.
func TestCertificatesWaitForTheOldest(t *testing.T) {
	for _, restarted := range []bool{false, true} {
		old, young := serving("default", 1, v1alpha1.CertificatesCertManager), serving("canary", 2, v1alpha1.CertificatesProvided)
		old.UID = "u1"
		w := newWorld(t, old, young)
		w.must(w.reconcile("default"))
		if restarted {
			w.restart()
		}
		w.edit("default", broken)
		good := w.c.Compiler.LastGood
		w.c.Compiler.LastGood = lastGood(func(context.Context, *v1alpha1.Injector) (*v1alpha1.Injector, error) {
			return nil, errors.New("etcd is away")
		})
		_, _ = w.c.Compiler.Refresh(context.Background())
		if w.c.Compiler.CertificatesKnown() == restarted {
			t.Errorf("restarted %t, known %t", restarted, w.c.Compiler.CertificatesKnown())
		}
		w.c.Compiler.LastGood = good
		w.must(w.reconcile("default"))
		if c := w.c.Compiler.Certificates(); c.Source != v1alpha1.CertificatesCertManager || !w.c.Compiler.CertificatesKnown() {
			t.Errorf("once it is read again: %s", c.Source)
		}
	}
}

func TestWhichCauseCertificatesReadyNames(t *testing.T) {
	w := newWorld(t, serving("default", 1, v1alpha1.CertificatesCertManager), serving("canary", 2, v1alpha1.CertificatesProvided))
	fault, untrusted := "", error(nil)
	w.c.CertificatesFault = func() (string, string) { return fault, "the message" }
	w.c.Trusted = func(context.Context, string) error { return untrusted }
	want := func(name, reason string) {
		t.Helper()
		w.must(w.reconcile(name))
		c := w.condition(name, v1alpha1.ConditionCertificatesReady)
		if c.Reason != reason || (c.Status == metav1.ConditionTrue) != (reason == "Trusted") {
			t.Errorf("Injector %s: %+v, want %s", name, c, reason)
		}
	}
	want("default", "Trusted")
	want("canary", "Conflict")
	untrusted = errors.New("unknown authority")
	want("default", "NotTrusted")
	fault = "NoCA"
	want("default", "NoCA")
	want("canary", "Conflict")
	fault, w.bundle = "", nil
	want("default", "Pending")
}

func TestCertificatesStatusIsWrittenOnce(t *testing.T) {
	w := newWorld(t, made("default", "default", 1))
	at := metav1.NewTime(time.Unix(1000, 123456789))
	now := &v1alpha1.CertificatesStatus{Source: v1alpha1.CertificatesSelfManaged, Phase: v1alpha1.PhasePromote, Since: &at, NextRotation: &at,
		CAs: []v1alpha1.CertificateAuthority{{Role: v1alpha1.RoleActive, Fingerprint: "sha256:00", NotAfter: at}}}
	for _, name := range []string{"b", "a", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q"} {
		now.Replicas = append(now.Replicas, v1alpha1.ReplicaCertificate{Name: name, NotAfter: &at})
	}
	known := true
	w.c.CertificatesStatus = func() *v1alpha1.CertificatesStatus {
		if !known {
			return nil
		}
		return now
	}
	w.must(w.reconcile("default"))
	first := w.get("default")
	if s := first.Status.Certificates; s == nil || s.Phase != "Promote" || len(s.Replicas) != 16 || s.Replicas[0].Name != "a" || s.Since.Unix() != 1000 {
		t.Fatalf("status: %+v", s)
	}
	if now.Replicas[0].Name != "b" || now.Since.Nanosecond() == 0 {
		t.Error("the caller's status was changed")
	}
	now.Replicas[0], now.Replicas[2] = now.Replicas[2], now.Replicas[0]
	for _, known = range []bool{true, false} { // a new leader doesn't know yet
		w.must(w.reconcile("default"))
		if again := w.get("default"); again.ResourceVersion != first.ResourceVersion {
			t.Errorf("written again, known %t: %+v", known, again.Status.Certificates)
		}
	}
}
