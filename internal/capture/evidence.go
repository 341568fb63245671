package capture

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"github.com/pillion-mesh/pillion/internal/capture/jsontext"
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
	line := &jsontext.Writer{}
	e.write(line, "")
	_, err := w.Write(append(line.Text, '\n'))
	return err
}

// write writes what the fields' tags say, as encoding/json would.
func (e *Evidence) write(w *jsontext.Writer, name string) {
	w.Open(name, '{')
	w.String("msg", e.Message)
	w.String("result", e.Result)
	w.String("backend", e.Backend)
	w.String("why", e.Why)
	if e.Dialect != "" {
		w.String("dialect", e.Dialect)
	}
	w.String("mode", e.Mode)
	w.String("families", e.Families)
	w.String("in", e.In)
	w.String("out", e.Out)
	w.String("dns", e.DNS)
	w.String("plan", e.Plan)
	w.Raw("rules", strconv.Itoa(e.Rules))
	w.Raw("changed", strconv.Itoa(e.Changed))
	w.Raw("ms", strconv.FormatFloat(e.MS, 'f', -1, 64))
	text := func(w *jsontext.Writer, s string) { w.String("", s) }
	jsontext.List(w, "foreign", e.Foreign, text)
	jsontext.List(w, "warnings", e.Warnings, text)
	if e.Error != "" {
		w.String("error", e.Error)
	}
	w.Close('}')
}

// Record is the file left for the agent, which may not read the kernel's rules: from it it can explain, not prove.
type Record struct {
	Evidence Evidence   `json:"evidence"`
	Plan     *plan.Plan `json:"plan"`
}

// Save writes the record so that a reader sees the old one or the new one, never half of it.
func (r Record) Save(path string) error {
	temporary, err := os.CreateTemp(filepath.Dir(path), ".capture-*")
	if err != nil {
		return fmt.Errorf("writing record %s: %w", path, err)
	}
	defer os.Remove(temporary.Name()) // gone already if all went well
	_, err = temporary.Write(r.text())
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

func (r Record) text() []byte {
	w := &jsontext.Writer{}
	w.Open("", '{')
	r.Evidence.write(w, "evidence")
	rules, _ := r.Plan.MarshalJSON() // never fails
	w.Raw("plan", string(rules))
	w.Close('}')
	var indented bytes.Buffer
	_ = json.Indent(&indented, w.Text, "", "  ") // a test shows that it is JSON
	return append(indented.Bytes(), '\n')
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
