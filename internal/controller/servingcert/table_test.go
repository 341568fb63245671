package servingcert

import (
	"bytes"
	"crypto/x509"
	"errors"
	"testing"
	"time"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func ca(t testing.TB, life time.Duration) *authority {
	t.Helper()
	p, err := newCA("pillion", life, start)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func leafOf(t testing.TB, p *authority, life time.Duration) *leaf {
	t.Helper()
	l, err := p.newLeaf([]string{"pillion.pillion-system.svc", "127.0.0.1"}, life, start, 0.5)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestLeafIsWhatAPIServersWant(t *testing.T) {
	p := ca(t, 10*time.Hour)
	l := leafOf(t, p, 24*time.Hour)
	if l.crt.NotAfter.After(p.Cert.NotAfter) {
		t.Error("the leaf outlives its CA")
	}
	if !l.crt.NotBefore.Equal(start.Add(-time.Hour)) {
		t.Errorf("NotBefore %s: a clock behind ours would refuse it", l.crt.NotBefore)
	}
	if len(l.crt.SubjectKeyId) == 0 || !bytes.Equal(l.crt.AuthorityKeyId, p.Cert.SubjectKeyId) {
		t.Error("key ids are missing or don't match")
	}
	for _, name := range []string{"pillion.pillion-system.svc", "127.0.0.1"} {
		e := entry{server: name, caBundle: encodeCertificate(p.Cert)}
		if err := e.verify(l, start); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if p.Cert.Subject.CommonName == ca(t, time.Hour).Cert.Subject.CommonName {
		t.Error("two CAs share a subject")
	}
	if !p.Cert.MaxPathLenZero || p.Cert.MaxPathLen != 0 {
		t.Error("the CA may sign other CAs")
	}
}

func TestRenewAtIsSpread(t *testing.T) {
	life := 24 * time.Hour
	for _, c := range []struct {
		jitter float64
		want   time.Duration
	}{{0, 816 * time.Minute}, {0.5, 16 * time.Hour}, {1, 1104 * time.Minute}} {
		if got := renewAt(start, start.Add(life), c.jitter).Sub(start).Round(time.Minute); got != c.want {
			t.Errorf("jitter %v: after %s, want %s", c.jitter, got, c.want)
		}
	}
}

func TestBundleIsTheSameForTheSameSet(t *testing.T) {
	a, b := ca(t, time.Hour).Cert, ca(t, time.Hour).Cert
	one := pemOf([]*x509.Certificate{a, b})
	if !bytes.Equal(one, pemOf([]*x509.Certificate{b, a})) {
		t.Error("the order shows")
	}
	if n := bytes.Count(one, []byte("BEGIN CERTIFICATE")); n != 2 {
		t.Errorf("%d certificates, want 2", n)
	}
	if got := pemOf(nil); got != nil {
		t.Errorf("of nothing: %q", got)
	}
}

func TestReadinessHasPatience(t *testing.T) {
	wiped := errors.New("wiped")
	type look struct {
		after time.Duration
		fault error
		ready bool
	}
	for _, c := range []struct {
		name  string
		looks []look
	}{
		{"a wipe that is repaired", []look{{0, nil, true}, {time.Second, wiped, true}, {29 * time.Second, wiped, true}, {30 * time.Second, nil, true}}},
		{"one that isn't", []look{{0, nil, true}, {time.Second, wiped, true}, {31 * time.Second, wiped, false}, {32 * time.Second, wiped, false}, {33 * time.Second, nil, true}}},
		{"two short ones", []look{{0, nil, true}, {time.Second, wiped, true}, {20 * time.Second, nil, true}, {21 * time.Second, wiped, true}, {50 * time.Second, wiped, true}, {51 * time.Second, wiped, false}}},
		{"a start that never verified", []look{{0, wiped, false}, {time.Second, wiped, false}, {40 * time.Second, nil, true}}},
	} {
		var r readiness
		if early := errors.New("too early"); r.judge(early, nil, start) == nil {
			t.Error("ready too early")
		}
		for _, l := range c.looks {
			if got := r.judge(nil, l.fault, start.Add(l.after)) == nil; got != l.ready {
				t.Errorf("%s: after %s ready is %t", c.name, l.after, got)
			}
			if was := r.was; was && r.judge(errors.New("too early"), l.fault, start.Add(l.after)) != nil {
				t.Errorf("%s: after %s, who was ready is told that it is too early", c.name, l.after)
			}
		}
	}
}

func TestHandshakeReason(t *testing.T) {
	for line, want := range map[string]string{
		"http: TLS handshake error from 10.0.0.1:1: remote error: tls: bad certificate":               handshakeBadCertificate,
		"http: TLS handshake error from 10.0.0.1:1: remote error: tls: unknown certificate authority": handshakeUnknownAuthority,
		"http: TLS handshake error from 10.0.0.1:1: EOF":                                              handshakeEOF,
		"http: TLS handshake error from 10.0.0.1:1: tls: client offered only unsupported versions":    handshakeOther,
		"http: panic serving 10.0.0.1:1":                                                              "",
	} {
		if got := handshakeReason(line); got != want {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
}
