package operator

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	cmv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/controller/certmanager"
	"github.com/pillion-mesh/pillion/internal/controller/servingcert/pairs"
)

// newTestIssued watches nothing: its process has ended.
func newTestIssued(t *testing.T, objects ...client.Object) *issued {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := errors.Join(certmanager.AddToScheme(scheme), corev1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	api := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).Build()
	ended, end := context.WithCancel(context.Background())
	end()
	return &issued{namespace: "pillion-system", service: "pillion", client: api, live: api, leader: func() bool { return true }, now: time.Now, running: ended, log: logr.Discard()}
}

func certificates(t *testing.T, i *issued) int {
	t.Helper()
	var all cmv1.CertificateList
	if err := i.client.List(context.Background(), &all); err != nil {
		t.Fatal(err)
	}
	return len(all.Items)
}

// TestCandidateSaysWhatToDo: each source that has nothing to give says where it looked.
func TestCandidateSaysWhatToDo(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "tls.crt")
	garbage := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "pillion-system", Name: "garbage"}, Data: map[string][]byte{"tls.crt": []byte("x"), "tls.key": []byte("y")}}
	provided := func(name string) v1alpha1.Certificates {
		c := v1alpha1.Certificates{Source: v1alpha1.CertificatesProvided}
		if name != "" {
			c.Provided.SecretRef = &v1alpha1.LocalSecret{Name: name}
		}
		return c
	}
	for _, c := range []struct {
		name     string
		settings v1alpha1.Certificates
		files    *pairs.Files
		reason   string
		says     string
	}{
		{"nothing is given", provided(""), nil, pairs.Missing, "--tls-cert-file"},
		{"files that aren't there", provided(""), &pairs.Files{Cert: missing, Key: missing}, pairs.Missing, missing},
		{"a Secret that isn't there", provided("mine"), nil, pairs.Missing, "pillion-system/mine"},
		{"a Secret goes before files", provided("mine"), &pairs.Files{Cert: missing, Key: missing}, pairs.Missing, "pillion-system/mine"},
		{"a Secret of garbage", provided("garbage"), nil, pairs.Unparsable, "pillion-system/garbage"},
		{"cert-manager hasn't issued", v1alpha1.Certificates{Source: v1alpha1.CertificatesCertManager}, nil, certmanager.NotReady, "pillion-system/pillion-"},
	} {
		i := newTestIssued(t, garbage.DeepCopy())
		i.files = c.files
		pair, err := i.Candidate(context.Background(), c.settings, []string{"pillion.pillion-system.svc", "127.0.0.1"})
		var refused *pairs.Refused
		if !errors.As(err, &refused) || refused.Reason != c.reason || !strings.Contains(refused.Message, c.says) {
			t.Errorf("%s: %v", c.name, err)
		}
		if pair != nil {
			t.Errorf("%s: a pair from nothing", c.name)
		}
	}
}

// TestOnlyTheLeaderAsksCertManager: each replica reads what was issued, and one writes.
func TestOnlyTheLeaderAsksCertManager(t *testing.T) {
	i := newTestIssued(t)
	leads := false
	i.leader = func() bool { return leads }
	settings := v1alpha1.Certificates{Source: v1alpha1.CertificatesCertManager}
	for _, c := range []struct {
		leads bool
		want  int
	}{{false, 0}, {true, 2}, {true, 2}} {
		leads = c.leads
		if _, err := i.Candidate(context.Background(), settings, []string{"pillion.pillion-system.svc"}); err == nil {
			t.Error("a pair that nobody issued")
		}
		if got := certificates(t, i); got != c.want {
			t.Errorf("leader %t: %d Certificates, want %d", c.leads, got, c.want)
		}
	}
}

// TestTidy: what cert-manager was asked for goes when the change to another source is complete, and not before.
func TestTidy(t *testing.T) {
	for _, c := range []struct {
		name     string
		source   v1alpha1.CertificatesSource
		complete bool
		follows  bool
		left     int
	}{
		{"the change is complete", v1alpha1.CertificatesSelfManaged, true, false, 0},
		{"it isn't", v1alpha1.CertificatesSelfManaged, false, false, 2},
		{"what is provided can't be served", v1alpha1.CertificatesProvided, false, false, 2},
		{"there was none", v1alpha1.CertificatesCertManager, true, false, 2},
		{"nobody has looked yet", "", false, false, 2},
		{"another replica leads", v1alpha1.CertificatesSelfManaged, true, true, 2},
	} {
		i := newTestIssued(t)
		if _, err := i.Candidate(context.Background(), v1alpha1.Certificates{Source: v1alpha1.CertificatesCertManager}, []string{"pillion.pillion-system.svc"}); err == nil {
			t.Error("a pair that nobody issued")
		}
		i.complete, i.leader = func() (v1alpha1.CertificatesSource, bool) { return c.source, c.complete }, func() bool { return !c.follows }
		i.tidy(context.Background())
		if got := certificates(t, i); got != c.left {
			t.Errorf("%s: %d Certificates are left, want %d", c.name, got, c.left)
		}
	}
}
