// Package state is what is known on disk about one test cluster: where its files lie, which process owns it, and who
// may change it. In: a cluster's name. Out: paths, a record read and written atomically, locks. Start with state.go;
// process.go says when a pid is ours, lock.go how several programs share one cluster.
package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// BaseEnv names the folder that state folders are made in; it must be on a real disk, for etcd and images lie there.
const BaseEnv = "PILLION_CLUSTER_DIR"

const prefix = "pillion-cluster-"

// Dir is the state folder of one cluster.
type Dir string

// Record is state.json: the facts that must survive the process that started the cluster.
type Record struct {
	Name              string    `json:"name"`
	Init              Process   `json:"init"`
	NetNS             uint64    `json:"netns,omitempty"` // inode of the node's network namespace; 0 for API-only
	Server            string    `json:"server,omitempty"`
	APIOnly           bool      `json:"apiOnly,omitempty"`
	ControllerManager bool      `json:"controllerManager,omitempty"`
	CertManager       bool      `json:"certManager,omitempty"`
	DualStack         bool      `json:"dualStack,omitempty"`
	FeatureGates      string    `json:"featureGates,omitempty"`
	ForTests          bool      `json:"forTests,omitempty"` // the last test that uses it takes it down
	Ready             bool      `json:"ready"`
	Started           time.Time `json:"started"`
}

// Component is one process of a cluster as its init started it.
type Component struct {
	Name    string  `json:"name"`
	Process Process `json:"process"` // the pid is the one inside the cluster's pid namespace, if it has one
}

// validName keeps names usable in paths, host names and image tags.
func validName(name string) bool {
	return regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$`).MatchString(name)
}

// For returns the state folder of the cluster called name, which needn't exist.
func For(name string) (Dir, error) {
	if !validName(name) {
		return "", fmt.Errorf("cluster name %q: want at most 40 lower-case letters, digits and dashes", name)
	}
	return Dir(filepath.Join(base(), prefix+name)), nil
}

func base() string {
	if dir := os.Getenv(BaseEnv); dir != "" {
		if abs, err := filepath.Abs(dir); err == nil {
			return abs
		}
		return dir
	}
	return "/var/tmp"
}

// All returns the names of every cluster of which a folder or a lock file is left; to anyone but root, of their own.
func All() ([]string, error) {
	entries, err := os.ReadDir(base())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("looking for test clusters: %w", err)
	}
	var names []string
	seen := map[string]bool{}
	for _, e := range entries {
		name, ours := strings.CutPrefix(e.Name(), prefix)
		name = strings.TrimSuffix(strings.TrimSuffix(name, ".lock"), ".users")
		if ours && validName(name) && !seen[name] && mayRemove(filepath.Join(base(), e.Name())) {
			seen[name] = true
			names = append(names, name)
		}
	}
	return names, nil
}

func mayRemove(path string) bool {
	uid, err := owner(path)
	return err == nil && (os.Geteuid() == 0 || uid == os.Geteuid())
}

// Create makes the folder for the current user alone. A folder of somebody else is refused: /var/tmp is everybody's.
func (d Dir) Create() error {
	for _, dir := range []string{string(d), d.Logs(), d.PKI(), d.Path("conf"), d.Path("bin")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("making the state folder: %w", err)
		}
	}
	if uid, err := owner(string(d)); err != nil || uid != os.Getuid() {
		return fmt.Errorf("state folder %s belongs to user %d: choose another --name or set %s", d, uid, BaseEnv)
	}
	return nil
}

// Exists says whether the folder is there.
func (d Dir) Exists() bool {
	_, err := os.Lstat(string(d))
	return err == nil
}

// Path joins elements to the folder.
func (d Dir) Path(elements ...string) string {
	return filepath.Join(append([]string{string(d)}, elements...)...)
}

// Name is the cluster's name.
func (d Dir) Name() string { return strings.TrimPrefix(filepath.Base(string(d)), prefix) }

// Logs is where every component writes.
func (d Dir) Logs() string { return d.Path("logs") }

// PKI holds certificates and keys.
func (d Dir) PKI() string { return d.Path("pki") }

// Log is the file a component writes to.
func (d Dir) Log(component string) string { return d.Path("logs", component+".log") }

// Kubeconfig is the administrator's, usable by any tool on this machine.
func (d Dir) Kubeconfig() string { return d.Path("kubeconfig") }

// Read returns the record; the error is fs.ErrNotExist if the cluster never came so far.
func (d Dir) Read() (Record, error) {
	var r Record
	err := d.readJSON("state.json", &r)
	return r, err
}

// Write replaces the record.
func (d Dir) Write(r Record) error { return d.writeJSON("state.json", r) }

// Components returns what init has started so far.
func (d Dir) Components() ([]Component, error) {
	var c []Component
	err := d.readJSON("components.json", &c)
	return c, err
}

// WriteComponents replaces the list.
func (d Dir) WriteComponents(c []Component) error { return d.writeJSON("components.json", c) }

func (d Dir) readJSON(file string, into any) error {
	data, err := os.ReadFile(d.Path(file))
	if err != nil {
		return fmt.Errorf("reading the cluster's state: %w", err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("reading %s: %w", d.Path(file), err)
	}
	return nil
}

// writeJSON renames a finished file into place: a reader or a crash never sees half of one.
func (d Dir) writeJSON(file string, value any) error {
	data, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding %s: %w", file, err)
	}
	temporary := d.Path(file + ".new")
	if err := os.WriteFile(temporary, append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("writing the cluster's state: %w", err)
	}
	if err := os.Rename(temporary, d.Path(file)); err != nil {
		return fmt.Errorf("writing the cluster's state: %w", err)
	}
	return nil
}
