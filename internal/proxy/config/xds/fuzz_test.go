package xds

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// seed adds the istiod files of a kind to a fuzz target's corpus.
func seed(f *testing.F, kind string, encode func(testing.TB, string) []byte) {
	f.Helper()
	files, err := filepath.Glob("testdata/istiod/" + kind + "_*.yaml")
	if err != nil || len(files) == 0 {
		f.Fatal(files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(encode(f, string(text)))
	}
}

// bounded checks what holds of every answer.
func bounded(t *testing.T, needs Needs, err error) {
	t.Helper()
	if len(needs.Notes) > maxNotes || len(needs.Unknown) > maxUnknown {
		t.Errorf("%d notes, %d kinds of unknown messages", len(needs.Notes), len(needs.Unknown))
	}
	var e *Error
	if err != nil && (!errors.As(err, &e) || len(e.Problems) == 0 || len(e.Problems) > maxProblems || len(e.Error()) > maxMessage+40) {
		t.Errorf("an error of %d bytes: %T", len(err.Error()), err)
	}
}

func FuzzListener(f *testing.F) {
	seed(f, "listener", listenerYAML)
	for _, text := range []string{filtersOf(wasmOf("fail_open: true")), networkOf("f", n+"connection_limit.v3.ConnectionLimit", "max_connections: 5")} {
		f.Add(listenerYAML(f, text))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		l, needs, err := Listener(raw, nil)
		bounded(t, needs, err)
		if err != nil {
			return
		}
		checkListener(t, l)
	})
}

func checkListener(t *testing.T, l *config.Listener) {
	t.Helper()
	for _, c := range append(l.Chains, l.Default) {
		if c != nil && (c.TCP == nil) == (c.HTTP == nil) {
			t.Errorf("chain %q forwards neither or both ways", c.Name)
		}
		if c != nil && c.TCP != nil && c.TCP.TotalWeight == 0 {
			t.Errorf("chain %q has no weight", c.Name)
		}
		if c != nil && c.HTTP != nil && c.HTTP.Routes == nil {
			t.Errorf("chain %q has no routes", c.Name)
		}
	}
}

func FuzzRoutes(f *testing.F) {
	seed(f, "routes", routesYAML)
	f.Fuzz(func(t *testing.T, raw []byte) {
		v, needs, err := Routes(raw)
		bounded(t, needs, err)
		if err != nil {
			return
		}
		checkTable(t, v)
	})
}

func checkTable(t *testing.T, v *config.RouteTable) {
	t.Helper()
	for _, host := range v.VirtualHosts {
		for _, r := range host.Routes {
			checkRoute(t, r)
		}
	}
}

func checkRoute(t *testing.T, r *config.Route) {
	t.Helper()
	actions := 0
	for _, set := range []bool{r.Forward != nil, r.Redirect != nil, r.Direct != nil} {
		if set {
			actions++
		}
	}
	if actions != 1 {
		t.Errorf("route %q has %d actions", r.Name, actions)
	}
	if f := r.Forward; f != nil && f.Cluster == "" && f.ClusterHeader == "" && f.TotalWeight == 0 {
		t.Errorf("route %q goes nowhere", r.Name)
	}
	if (r.Match.Kind == config.PathRegex) != (r.Match.Regex != nil) && r.Match.Kind != config.PathTemplate {
		t.Errorf("route %q: kind %d, regex %v", r.Name, r.Match.Kind, r.Match.Regex)
	}
}

func FuzzCluster(f *testing.F) {
	seed(f, "cluster", clusterYAML)
	f.Fuzz(func(t *testing.T, raw []byte) {
		c, needs, err := Cluster(raw, nil)
		bounded(t, needs, err)
		if err == nil {
			checkCluster(t, c)
		}
	})
}

func checkCluster(t *testing.T, c *config.Cluster) {
	t.Helper()
	if c.Name == "" || c.Endpoints == nil && c.Kind != config.OriginalDst {
		t.Errorf("got %+v", c)
	}
}

func FuzzEndpoints(f *testing.F) {
	seed(f, "endpoints", endpointsYAML)
	f.Fuzz(func(t *testing.T, raw []byte) {
		e, needs, err := Endpoints(raw)
		bounded(t, needs, err)
		if err != nil {
			return
		}
		checkHosts(t, e)
	})
}

func checkHosts(t *testing.T, e *config.Endpoints) {
	t.Helper()
	for _, l := range e.Localities {
		for _, h := range l.Hosts {
			if !h.Address.IsValid() && h.Pipe == "" {
				t.Errorf("a host without address: %+v", h)
			}
		}
	}
}

func FuzzSecret(f *testing.F) {
	i := issue(f, ecKey(f), "EC PRIVATE KEY")
	f.Add(secretYAML(f, certificateYAML(i)))
	f.Add(secretYAML(f, "name: ROOTCA\nvalidation_context: {trusted_ca: {inline_string: "+quoted(i.cert)+"}}"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		s, needs, err := Secret(raw, nil)
		bounded(t, needs, err)
		if err == nil && (s.Certificate == nil) == (s.Trust == nil) {
			t.Errorf("got %+v", s)
		}
	})
}

func FuzzExtension(f *testing.F) {
	f.Add(extensionYAML(f, `{name: late, typed_config: {"@type": type.googleapis.com/`+h+`fault.v3.HTTPFault, max_active_faults: 1}}`))
	f.Add(extensionYAML(f, strings.TrimSuffix(wasmOf("fail_open: true"), ", ")))
	f.Fuzz(func(t *testing.T, raw []byte) {
		v, needs, err := Extension(raw, nil)
		bounded(t, needs, err)
		if err == nil && v == nil {
			t.Error("neither a filter nor an error")
		}
	})
}

// FuzzPrivate reads bytes by the schemas of Istio's messages.
func FuzzPrivate(f *testing.F) {
	f.Add([]byte("\x32\x00\x3a\x02\x08\x05\x42\x0b\x0a\x06\x0a\x01a\x12\x01b\x12\x01c"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		for _, decode := range []func(*decoder, typed) any{(*decoder).istioStats, (*decoder).alpn, (*decoder).peerMetadata, (*decoder).metadataExchange} {
			d := newDecoder("listener", nil, nil)
			decode(d, typed{message: "m", raw: raw})
			bounded(t, d.needs, d.err())
		}
	})
}

func FuzzBootstrap(f *testing.F) {
	f.Add(istiod(f, "bootstrap"))
	f.Add(`{"node": {"id": "n"}}`)
	f.Fuzz(func(t *testing.T, text string) {
		b, err := Bootstrap([]byte(text))
		if err == nil {
			bounded(t, Needs{Notes: b.Notes}, nil)
		}
	})
}

// FuzzRegex bounds what an expression costs: it is refused before it is compiled if it is large.
func FuzzRegex(f *testing.F) {
	for _, s := range []string{"a*", "((a{100}){10}){5}", "[a-z]{1000}", `(?i)\pL{900}`, `\Qa`, "(a|b)+?$"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, source string) {
		d := newDecoder("route", nil, nil)
		if r := d.regex(source); (r == nil) != (d.err() != nil) {
			t.Errorf("%q: %v and %v", source, r, d.err())
		}
	})
}
