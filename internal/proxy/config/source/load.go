package source

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/pillion-mesh/pillion/internal/xdsclient"
)

// maxFile bounds a file of resources, in bytes.
const maxFile = 64 << 20

// contents is what one file holds.
type contents struct {
	hash    [sha256.Size]byte
	version string
	byKind  [kinds][]xdsclient.Resource
}

// document is a DiscoveryResponse as YAML or JSON.
type document struct {
	Version   string           `yaml:"version_info" json:"version_info"`
	Resources []map[string]any `yaml:"resources" json:"resources"`
}

// list names the files of a path: itself, or the YAML and JSON files in it, sorted.
func list(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil || !info.IsDir() {
		return []string{path}, err
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if ext := filepath.Ext(e.Name()); slices.Contains([]string{".yaml", ".yml", ".json"}, ext) && !strings.HasPrefix(e.Name(), ".") {
			names = append(names, filepath.Join(path, e.Name()))
		}
	}
	return names, nil
}

func read(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("%s is larger than %d MiB", name, maxFile>>20)
	}
	return data, err
}

// parse reads a file of resources. Resources of a message this proxy has no use for are an error, fields it doesn't know
// aren't.
func parse(data []byte) (*contents, error) {
	var d document
	if err := yaml.Unmarshal(data, &d); err != nil { // JSON is YAML
		return nil, fmt.Errorf("neither YAML nor JSON: %w", err)
	}
	c := &contents{hash: sha256.Sum256(data), version: d.Version}
	if c.version == "" {
		c.version = hex.EncodeToString(c.hash[:8])
	}
	for i, each := range d.Resources {
		k, r, err := toResource(each)
		if err != nil {
			return nil, fmt.Errorf("resources[%d]: %w", i, err)
		}
		r.Version = c.version
		c.byKind[k] = append(c.byKind[k], r)
	}
	return c, nil
}

var errNoResource = errors.New("isn't a cluster, load assignment, listener, extension, route table or secret")

// toResource turns a resource with its "@type" into bytes.
func toResource(m map[string]any) (kind, xdsclient.Resource, error) {
	text, err := json.Marshal(m)
	if err != nil {
		return kinds, xdsclient.Resource{}, err
	}
	var a anypb.Any
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true, RecursionLimit: 1000}).Unmarshal(text, &a); err != nil {
		return kinds, xdsclient.Resource{}, err
	}
	k, ok := kindOf(a.GetTypeUrl())
	if !ok {
		return kinds, xdsclient.Resource{}, fmt.Errorf("%q %w", a.GetTypeUrl(), errNoResource)
	}
	return k, xdsclient.Resource{Name: xdsclient.NameOf(a.GetValue()), Type: a.GetTypeUrl(), Value: a.GetValue()}, nil
}
