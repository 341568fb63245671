package source

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/pillion-mesh/pillion/internal/proxy/config/xds"
	"github.com/pillion-mesh/pillion/internal/xdsclient"
)

const yamlClusters = `
version_info: "1"
resources:
- "@type": type.googleapis.com/envoy.config.cluster.v3.Cluster
  name: a
  alt_stat_name: "eds:a"
- "@type": type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment
  cluster_name: a
  unknown_field: 7
`

const jsonListeners = `{"resources": [
{"@type": "type.googleapis.com/envoy.config.listener.v3.Listener", "name": "l", "stat_prefix": "route:r at:10.0.0.1:80"},
{"@type": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration", "name": "r"}]}`

// replace writes a file as Envoy wants it: aside, then moved into place.
func replace(t *testing.T, dir, name, text string) {
	t.Helper()
	aside := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(aside, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(aside, filepath.Join(dir, name)); err != nil {
		t.Fatal(err)
	}
}

func TestDirectory(t *testing.T) {
	dir := t.TempDir()
	replace(t, dir, "clusters.yaml", yamlClusters)
	from := &xds.ConfigSource{Path: dir}
	s := run(t, &xds.BootstrapConfig{CDS: from, LDS: from}, toys)
	eventually(t, "the cluster, without a listener", s.Ready)
	if s.Runtime().Load().Cluster("a").Endpoints.Load() == nil {
		t.Fatal("the cluster has no endpoints")
	}
	replace(t, dir, "listeners.json", jsonListeners)
	eventually(t, "the listener", func() bool {
		l := s.Runtime().Load().Listener("l")
		return l != nil && l.Chains[0].HTTP.Routes.Load() != nil
	})
	replace(t, dir, "clusters.yaml", "resources: [{]")
	eventually(t, "the complaint", func() bool { return s.Counters(xdsclient.TypeCluster).Failure > 0 })
	if s.Runtime().Load().Cluster("a") == nil {
		t.Error("a file that can't be read cost its last contents")
	}
	if err := os.Remove(filepath.Join(dir, "listeners.json")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the listener's end", func() bool { return s.Runtime().Load().Listener("l") == nil })
}

// TestMountedFile: single files below a link that is swapped, as Kubernetes mounts a ConfigMap.
func TestMountedFile(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"1": yamlClusters, "2": "resources: []"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		replace(t, filepath.Join(dir, name), "cds.yaml", text)
	}
	link := func(target, name string) {
		if err := os.Symlink(target, filepath.Join(dir, "aside")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "aside"), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	link("1", "..data")
	link("..data/cds.yaml", "cds.yaml")
	s := run(t, &xds.BootstrapConfig{CDS: &xds.ConfigSource{Path: filepath.Join(dir, "cds.yaml")}}, toys)
	eventually(t, "the cluster", func() bool { return s.Runtime().Load().Cluster("a") != nil })
	link("2", "..data")
	eventually(t, "the cluster's end", func() bool { return s.Runtime().Load().Cluster("a") == nil })
}

func TestMissingFile(t *testing.T) {
	dir := t.TempDir()
	s := run(t, &xds.BootstrapConfig{CDS: &xds.ConfigSource{Path: filepath.Join(dir, "cds.yaml")}}, toys)
	eventually(t, "the complaint", func() bool { return s.Counters(xdsclient.TypeCluster).Failure > 0 })
	if s.Ready() {
		t.Error("ready without clusters")
	}
	replace(t, dir, "cds.yaml", yamlClusters)
	eventually(t, "ready", s.Ready)
}

func TestFilesThatAreRefused(t *testing.T) {
	for _, text := range []string{
		"resources: {}", "{", "resources: [{name: a}]", `resources: [{"@type": "x/y.Z"}]`,
		`resources: [{"@type": "type.googleapis.com/google.protobuf.Duration", value: 1s}]`,
		`resources: [{"@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster", name: 7}]`,
		"resources: [&a {x: *a}]", "resources: [{1: 2}]",
	} {
		if c, err := parse([]byte(text)); err == nil {
			t.Errorf("%s: taken as %+v", text, c)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(yamlClusters))
	f.Add([]byte(jsonListeners))
	f.Add([]byte("a: &a {b: *a}"))
	f.Add([]byte("resources: [{\"@type\": type.googleapis.com/envoy.config.listener.v3.Listener, name: !!binary aGk=}]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := parse(data)
		if err != nil {
			return
		}
		again, err := parse(data)
		if err != nil {
			t.Fatal(err)
		}
		for k := range c.byKind {
			for i, r := range c.byKind[k] {
				if string(r.Value) != string(again.byKind[k][i].Value) {
					t.Fatal("the same text became other bytes: it would be taken for a change")
				}
			}
		}
	})
}
