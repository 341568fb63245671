package source

import (
	"encoding/json"
	"io"
	"sort"
)

// unready are targets that something waits for, as /init_dump shows them.
type unready struct {
	Name    string   `json:"name"`
	Targets []string `json:"target_names"`
}

// InitDump writes the answer of /init_dump: what is still missing. With mask `listener` it says so of listeners alone.
func (s *Source) InitDump(w io.Writer, mask string) error {
	dumps := struct {
		Dumps []unready `json:"unready_targets_dumps,omitempty"`
	}{s.unready(mask)}
	e := json.NewEncoder(w)
	e.SetIndent("", " ")
	return e.Encode(dumps)
}

func (s *Source) unready(mask string) (all []unready) {
	s.mu.Lock()
	defer s.mu.Unlock()
	server := unready{Name: "init manager Server"}
	for _, k := range []kind{clusters, listeners} {
		if !s.ready.Load() && !s.answered(k, s.opts.Now()) {
			server.Targets = append(server.Targets, map[kind]string{clusters: "CDS", listeners: "LDS"}[k])
		}
	}
	if len(server.Targets) > 0 && mask != "listener" {
		all = append(all, server)
	}
	var waiting []unready
	for e := range s.warming {
		if e.kind == listeners || mask != "listener" {
			waiting = append(waiting, unready{Name: "init manager " + words[e.kind] + " " + e.name, Targets: s.missing(e.warming)})
		}
	}
	sort.Slice(waiting, func(i, j int) bool { return waiting[i].Name < waiting[j].Name })
	return append(all, waiting...)
}

// discovery names the kinds by the service they come by.
var discovery = [kinds]string{endpoints: "EDS", routes: "RDS", secrets: "SDS", extensions: "ECDS"}

func (s *Source) missing(v *version) []string {
	var names []string
	if v.names != nil {
		names = append(names, "DNS "+v.cluster.Name)
	}
	for _, n := range v.needs {
		if !s.cells.filled(n.resource) {
			names = append(names, discovery[n.kind]+" "+n.name)
		}
	}
	return names
}
