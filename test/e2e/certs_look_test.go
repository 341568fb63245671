package e2e

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/test/install"
)

// Names by which the operator is called, and shows one certificate or the other.
const (
	host      = "pillion.pillion-system.svc"
	probeHost = "pillion-probe.pillion-system.svc"
)

// seen are CAs, by their fingerprints.
type seen struct {
	Trusted map[string][]string  // by each webhook entry's caBundle
	Serving map[string]string    // by each replica: that of its certificate
	Ends    map[string]time.Time // of that certificate
}

// theOne is the CA that all entries trust and all replicas serve, where there is no other.
func (s seen) theOne(t *testing.T) string {
	t.Helper()
	all := map[string]bool{}
	for _, cas := range s.Trusted {
		for _, ca := range cas {
			all[ca] = true
		}
	}
	for _, ca := range s.Serving {
		all[ca] = true
	}
	if len(all) != 1 {
		t.Fatalf("CAs %v are in use, want one: %+v", slices.Collect(maps.Keys(all)), s)
	}
	return slices.Collect(maps.Keys(all))[0]
}

// theOther is the CA that every entry trusts besides an old one.
func (s seen) theOther(t *testing.T, old string) string {
	t.Helper()
	other := ""
	for webhook, cas := range s.Trusted {
		rest := slices.DeleteFunc(slices.Clone(cas), func(ca string) bool { return ca == old })
		if len(rest) != 1 || other != "" && other != rest[0] {
			t.Fatalf("%s trusts %v, want %s and the same other one everywhere", webhook, cas, old)
		}
		other = rest[0]
	}
	return other
}

// trusts says whether every entry trusts that many CAs.
func (s seen) trusts(count int) error {
	for webhook, cas := range s.Trusted {
		if len(cas) != count {
			return fmt.Errorf("%s trusts %v, want %d CAs", webhook, cas, count)
		}
	}
	return nil
}

// look sees for itself what the API server trusts and what replicas serve.
type look struct {
	*env
	ports map[string]string // of this machine, that lead to a replica's webhook port
}

// newLook forwards a port to each replica there is.
func newLook(t *testing.T, e *env) look {
	t.Helper()
	l := look{env: e, ports: map[string]string{}}
	for _, pod := range e.allOperatorPods(t) {
		l.ports[pod.Name] = e.forward(t, pod.Name)
	}
	return l
}

// forward has kubectl lead a port of this machine to a replica until the test ends.
func (e *env) forward(t *testing.T, pod string) string {
	t.Helper()
	cmd := exec.CommandContext(deadline(t, 10*time.Minute), e.kubectl.Program, "kubectl", "port-forward", "-n", install.Namespace, "pod/"+pod, ":15017")
	cmd.Env = append(os.Environ(), "KUBECONFIG="+e.kubectl.Kubeconfig)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	_, address, ok := strings.Cut(strings.TrimSpace(line), "Forwarding from ")
	if err != nil || !ok {
		t.Fatalf("kubectl port-forward to %s printed %q: %v", pod, line, err)
	}
	address, _, _ = strings.Cut(address, " ")
	return address
}

// agree waits until every entry trusts that many CAs and `pillion certs` says what is so; that must come before the phase
// is over. A replica that has just become ready is looked at within half a minute.
func (l look) agree(t *testing.T, phase string, cas int) seen {
	t.Helper()
	var is seen
	start := time.Now()
	eventually(t, time.Minute, func() error {
		is = l.see(t)
		said, problems := l.said(t)
		if now := l.annotations(t)[v1alpha1.AnnotationPhase]; now != phase {
			t.Fatalf("phase %s was over before pillion certs agreed; now it is %s", phase, now)
		}
		switch {
		case said.phase != phase:
			return fmt.Errorf("pillion certs says phase %s, want %s", said.phase, phase)
		case !reflect.DeepEqual(said.seen, is):
			return fmt.Errorf("pillion certs says\n%+v, but it is\n%+v", said.seen, is)
		}
		return errors.Join(is.trusts(cas), problems)
	})
	t.Logf("%s: pillion certs agreed after %s", phase, time.Since(start).Round(time.Millisecond))
	return is
}

// see looks at the live caBundles, and at each replica by a TLS handshake.
func (l look) see(t *testing.T) seen {
	t.Helper()
	s := seen{Trusted: map[string][]string{}, Serving: map[string]string{}, Ends: map[string]time.Time{}}
	for webhook, cas := range l.bundles(t) {
		for _, ca := range cas {
			s.Trusted[webhook] = append(s.Trusted[webhook], v1alpha1.Fingerprint(ca.Raw))
		}
		slices.Sort(s.Trusted[webhook])
	}
	for name := range l.ports {
		shown := l.at(t, name, host)
		s.Serving[name], s.Ends[name] = shown.ca, shown.ends
	}
	return s
}

// shown is what a replica shows who calls it by a name.
type shown struct {
	ca   string
	ends time.Time
}

func (l look) at(t *testing.T, replica, name string) shown {
	t.Helper()
	conn, err := tls.Dial("tcp", l.ports[replica], &tls.Config{ServerName: name, InsecureSkipVerify: true}) // it is looked at below
	if err != nil {
		t.Fatalf("handshake with %s: %v", replica, err)
	}
	defer func() { _ = conn.Close() }()
	leaf := conn.ConnectionState().PeerCertificates[0]
	s := shown{ca: "unknown", ends: leaf.NotAfter}
	for _, cas := range l.bundles(t) {
		for _, ca := range cas {
			roots := x509.NewCertPool()
			roots.AddCert(ca)
			if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: name}); err == nil {
				s.ca = v1alpha1.Fingerprint(ca.Raw)
			}
		}
	}
	return s
}

// bundles are the CAs of each entry that leads to the operator, as the API server has them now.
func (l look) bundles(t *testing.T) map[string][]*x509.Certificate {
	t.Helper()
	all := map[string][]*x509.Certificate{}
	add := func(configuration, webhook string, c admissionregistrationv1.WebhookClientConfig) {
		if c.Service == nil || c.Service.Namespace != install.Namespace || c.Service.Name != "pillion" && c.Service.Name != "pillion-probe" {
			return // somebody else's, or another operator's
		}
		for block, rest := pem.Decode(c.CABundle); block != nil; block, rest = pem.Decode(rest) {
			ca, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				t.Fatalf("caBundle of %s: %v", webhook, err)
			}
			all[configuration+"/"+webhook] = append(all[configuration+"/"+webhook], ca)
		}
	}
	api, ctx := l.Client.AdmissionregistrationV1(), deadline(t, 30*time.Second)
	mutating, err := api.MutatingWebhookConfigurations().List(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range mutating.Items {
		for _, w := range c.Webhooks {
			add(c.Name, w.Name, w.ClientConfig)
		}
	}
	validating, err := api.ValidatingWebhookConfigurations().List(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range validating.Items {
		for _, w := range c.Webhooks {
			add(c.Name, w.Name, w.ClientConfig)
		}
	}
	return all
}

// said is what `pillion certs` says, in the terms of what is seen.
type said struct {
	seen
	phase string
}

// said also returns the problems it reports.
func (l look) said(t *testing.T) (said, error) {
	t.Helper()
	out, code := l.pillion(t, "certs", "-o", "json")
	var c struct {
		Status   v1alpha1.CertificatesStatus
		Problems []string
		Bundles  []struct{ Webhook, CA, State string }
	}
	if err := json.Unmarshal([]byte(out), &c); err != nil {
		t.Fatalf("pillion certs, exit code %d, printed %q: %v", code, out, err)
	}
	s := said{phase: c.Status.Phase, seen: seen{Trusted: map[string][]string{}, Serving: map[string]string{}, Ends: map[string]time.Time{}}}
	for _, b := range c.Bundles {
		if b.State == "trusted" {
			s.Trusted[b.Webhook] = append(s.Trusted[b.Webhook], b.CA)
		}
	}
	for _, cas := range s.Trusted {
		slices.Sort(cas)
	}
	for _, r := range c.Status.Replicas {
		s.Serving[r.Name], s.Ends[r.Name] = r.CA, r.NotAfter.UTC()
	}
	if code != 0 || len(c.Problems) > 0 {
		return s, fmt.Errorf("pillion certs, exit code %d, reports problems: %w", code, errors.New(strings.Join(c.Problems, "; ")))
	}
	return s, nil
}
