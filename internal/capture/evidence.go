package capture

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/pillion-mesh/pillion/internal/capture/plan"
)

// Results of a run, as evidence names them.
const (
	ResultApplied   = "applied"
	ResultUnchanged = "unchanged"
	ResultCleaned   = "cleaned"
	ResultVerified  = "verified"
	ResultDiffers   = "differs"
	ResultDryRun    = "dry-run"
	ResultFailed    = "failed"
	ResultRepaired  = "repaired"
	ResultWatched   = "watched"
)

// Evidence is the one line every run leaves, also on failure.
type Evidence struct {
	Message  string   `json:"msg"` // "capture", always
	Result   string   `json:"result"`
	Backend  string   `json:"backend"`
	Why      string   `json:"why"`               // of the backend
	Dialect  string   `json:"dialect,omitempty"` // of iptables' rules
	Mode     string   `json:"mode"`
	Families string   `json:"families"`
	In       string   `json:"in"`
	Out      string   `json:"out"`
	DNS      string   `json:"dns"`
	Plan     string   `json:"plan"` // fingerprint
	Rules    int      `json:"rules"`
	Changed  int      `json:"changed"`
	MS       float64  `json:"ms"`
	Foreign  []string `json:"foreign"`
	Warnings []string `json:"warnings"`
	Error    string   `json:"error,omitempty"`
}

// Describe fills in what the plan says.
func (e *Evidence) Describe(p *plan.Plan) {
	e.Mode, e.Families = string(p.Mode), p.Families.String()
	e.In, e.Out, e.DNS = p.In.String(), p.Out.String(), p.DNS.String()
	e.Plan = p.Fingerprint()
	for _, chain := range p.Rules().Chains {
		e.Rules += len(chain.Rules)
	}
}

// Write prints the line.
func (e *Evidence) Write(w io.Writer) error {
	line, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("encoding the evidence: %w", err)
	}
	_, err = w.Write(append(line, '\n'))
	return err
}

// Record is the file left for the agent, which may not read the kernel's rules: from it it can explain, not prove.
type Record struct {
	Evidence Evidence   `json:"evidence"`
	Plan     *plan.Plan `json:"plan"`
}

// Save writes the record so that a reader sees the old one or the new one, never half of it.
func (r Record) Save(path string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the record: %w", err)
	}
	temporary, err := os.CreateTemp(filepath.Dir(path), ".capture-*")
	if err != nil {
		return fmt.Errorf("writing record %s: %w", path, err)
	}
	defer os.Remove(temporary.Name()) // gone already if all went well
	_, err = temporary.Write(append(text, '\n'))
	for _, step := range []func() error{
		func() error { return temporary.Chmod(0o644) }, // the agent reads it under another UID
		temporary.Close,
		func() error { return os.Rename(temporary.Name(), path) },
	} {
		if err == nil {
			err = step()
		}
	}
	if err != nil {
		return fmt.Errorf("writing record %s: %w", path, err)
	}
	return nil
}

// Load reads a record.
func Load(path string) (Record, error) {
	var r Record
	text, err := os.ReadFile(path)
	if err != nil {
		return r, fmt.Errorf("reading record: %w", err)
	}
	if err := json.Unmarshal(text, &r); err != nil {
		return r, fmt.Errorf("reading record %s: %w", path, err)
	}
	if r.Plan == nil {
		return r, fmt.Errorf("reading record %s: it holds no plan", path)
	}
	return r, nil
}
