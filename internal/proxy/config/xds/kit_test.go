package xds

import (
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

var update = flag.Bool("update", false, "write the golden files")

// fromYAML is a resource's bytes, written as YAML.
func fromYAML(t testing.TB, m proto.Message, text string) []byte {
	t.Helper()
	raw, err := toJSON([]byte(text))
	if err == nil {
		known := &types{}
		err = protojson.UnmarshalOptions{Resolver: known}.Unmarshal(raw, m)
		if len(known.unknown) > 0 { // else a field that isn't known is a slip of the test
			err = protojson.UnmarshalOptions{Resolver: known, DiscardUnknown: true}.Unmarshal(raw, m)
		}
	}
	if err != nil {
		t.Fatalf("%s\nin:\n%s", err, text)
	}
	return marshal(m)
}

func listenerYAML(t testing.TB, text string) []byte { return fromYAML(t, &listenerv3.Listener{}, text) }
func clusterYAML(t testing.TB, text string) []byte  { return fromYAML(t, &clusterv3.Cluster{}, text) }
func routesYAML(t testing.TB, text string) []byte {
	return fromYAML(t, &routev3.RouteConfiguration{}, text)
}
func secretYAML(t testing.TB, text string) []byte { return fromYAML(t, &tlsv3.Secret{}, text) }
func extensionYAML(t testing.TB, text string) []byte {
	return fromYAML(t, &corev3.TypedExtensionConfig{}, text)
}
func endpointsYAML(t testing.TB, text string) []byte {
	return fromYAML(t, &endpointv3.ClusterLoadAssignment{}, text)
}

// istiod is a file of resources as istiod sends them.
func istiod(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "istiod", name+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// golden compares v, as JSON without what is zero, with a file.
func golden(t *testing.T, name string, v any) {
	t.Helper()
	got, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var plain any
	if err := json.Unmarshal(got, &plain); err != nil {
		t.Fatal(err)
	}
	if got, err = json.MarshalIndent(withoutZeros(plain), "", " "); err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	path := filepath.Join("testdata", "golden", name+".json")
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("%s differs at:\n%s", path, firstDifference(string(got), string(want)))
	}
}

// withoutZeros leaves out of objects what is null, zero, false or empty, so that a new field of package config doesn't
// change every file.
func withoutZeros(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for key, each := range v {
			each = withoutZeros(each)
			if v[key] = each; each == nil || each == false || each == 0.0 || each == "" || isEmpty(each) {
				delete(v, key)
			}
		}
	case []any:
		for i := range v {
			v[i] = withoutZeros(v[i])
		}
		if len(v) == 0 {
			return nil
		}
	}
	return v
}

func isEmpty(v any) bool {
	m, ok := v.(map[string]any)
	return ok && len(m) == 0
}

func firstDifference(got, want string) string {
	a, b := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range a {
		if i >= len(b) || a[i] != b[i] {
			return "got  " + strings.Join(a[max(0, i-2):min(len(a), i+3)], "\n     ") + "\nwant " + strings.Join(b[min(len(b), max(0, i-2)):min(len(b), i+3)], "\n     ")
		}
	}
	return "the end"
}

// reasons are an error's problems without the resource's name; nil if there's none.
func reasons(t testing.TB, err error) []string {
	t.Helper()
	if err == nil {
		return nil
	}
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("%T is not an *Error", err)
	}
	var out []string
	for _, p := range e.Problems {
		out = append(out, strings.TrimPrefix(p.Path+": "+p.Reason, ": "))
	}
	return out
}

// notes are what the notes say, one line each.
func notes(n Needs) (out []string) {
	for _, each := range n.Notes {
		out = append(out, strings.TrimSpace(each.Kind.String()+" "+each.What+" at "+each.Path))
	}
	return out
}
