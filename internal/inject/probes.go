package inject

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/pillion-mesh/pillion/internal/inject/rawjson"
	"github.com/pillion-mesh/pillion/internal/istio"
)

// A kubelet has no place in the mesh: its probes would be captured, and refused where only mutual TLS is taken. So it
// asks the agent, which isn't captured, and the agent asks the application (internal/agent/probe). What to ask is in
// the agent's environment (probers.go). strip takes it all back by what undo.go keeps.

// question is one thing a kubelet may ask a container: a probe, or a hook of its life.
type question struct {
	under, field string // where it is in a container; under is empty or "lifecycle"
	last         string // of the path at the agent
}

var questions = [...]question{
	{"", "livenessProbe", "/livez"},
	{"", "readinessProbe", "/readyz"},
	{"", "startupProbe", "/startupz"},
	{"lifecycle", "preStop", "/prestopz"},
	{"lifecycle", "postStart", "/poststartz"},
}

func (q *question) hook() bool { return q.under != "" }

func (q *question) path(container string) string {
	if q.hook() {
		return "/app-lifecycle/" + container + q.last
	}
	return "/app-health/" + container + q.last
}

// urgent says whether a late answer does harm: the pod's start waits for it, or kubelets end the container meanwhile.
func (q *question) urgent() bool {
	return q.field == "startupProbe" || q.field == "postStart" || q.field == "livenessProbe"
}

// withProbes is a container whose probes and hooks are what change makes of them; c itself if they are that.
func withProbes(c *rawjson.Value, change func(q *question, probe *rawjson.Value) *rawjson.Value) *rawjson.Value {
	for i := range questions {
		q := &questions[i]
		parent := c
		if q.under != "" {
			parent = c.Get(q.under)
		}
		probe := parent.Get(q.field)
		if probe.Kind() != rawjson.Object {
			continue
		}
		changed := change(q, probe)
		if changed == probe {
			continue
		}
		parent = parent.With(q.field, changed)
		if q.under != "" {
			parent = c.With(q.under, parent)
		}
		c = parent
	}
	return c
}

// handlerOf is the handler of a probe, if it has one that an agent can stand in for. A command runs in the container.
func handlerOf(probe *rawjson.Value) (kind string, handler *rawjson.Value) {
	for _, m := range probe.Members() {
		switch m.Key {
		case "httpGet", "tcpSocket", "grpc", "exec", "sleep":
			if m.Value.Kind() == rawjson.Null {
				continue
			}
			if kind != "" {
				return "", nil // two: the API server refuses such a pod
			}
			kind, handler = m.Key, m.Value
		}
	}
	if kind == "exec" || kind == "sleep" || handler.Kind() != rawjson.Object {
		return "", nil
	}
	return kind, handler
}

// withHandler replaces a probe's handler, where it stands; what else there is to a probe stays.
func withHandler(probe *rawjson.Value, old, kind string, handler *rawjson.Value) *rawjson.Value {
	members := make([]rawjson.Member, 0, len(probe.Members()))
	for _, m := range probe.Members() {
		switch m.Key {
		case old:
			members = append(members, rawjson.Member{Key: kind, Value: handler})
		case kind: // null
		default:
			members = append(members, m)
		}
	}
	return rawjson.NewObject(members...)
}

// rewriteProbes leads the kubelet's probes and HTTP hooks of all containers but the sidecar's to the agent.
func (a *assembly) rewriteProbes() {
	s := a.vars.settings
	if !s.rewriteProbes || s.statusPort == 0 || !a.hasAgent() {
		return
	}
	r := rewriter{assembly: a, settings: s, port: rawjson.NewScalar(rawjson.Number, strconv.FormatInt(s.statusPort, 10))}
	r.early = !s.native
	a.user.init = r.containers(a.user.init)
	r.early = true
	a.rendered.init = r.containers(a.rendered.init)
	r.early = false
	a.user.main = r.containers(a.user.main)
	a.rendered.main = r.containers(a.rendered.main)
	if len(r.probers) > 0 {
		a.setProxyEnv(envProbers, r.probers.text())
	}
}

// rewriter rewrites the probes of one pod and keeps what they were.
type rewriter struct {
	*assembly
	settings  *settings
	port      *rawjson.Value // of the agent
	early     bool           // these containers start before the sidecar does
	container *rawjson.Value
	name      string
	probers   probers
	size      int
}

// containers keeps the list itself if nothing changes.
func (r *rewriter) containers(list []*rawjson.Value) []*rawjson.Value {
	changed, copied := list, false
	for i, c := range list {
		r.container, r.name = c, nameOf(c)
		if r.name == istio.ContainerProxy || r.name == istio.ContainerInit {
			continue
		}
		if next := withProbes(c, r.rewrite); next != c {
			if !copied {
				changed, copied = slices.Clone(list), true
			}
			changed[i] = next
		}
	}
	return changed
}

func (r *rewriter) rewrite(q *question, probe *rawjson.Value) *rawjson.Value {
	kind, handler := handlerOf(probe)
	if kind == "" {
		return probe
	}
	number, err := portOf(r.container, handler.Get("port"))
	if err == nil && r.answersItself(number) {
		return probe
	}
	path := q.path(r.name)
	if err == nil {
		err = r.keeps(q)
	}
	if err == nil {
		err = r.remember(path, q, probe, kind, handler, number)
	}
	if err != nil {
		r.warn("container %q: %s is not led to the sidecar: %v", cut(r.name, 63), q.field, err)
		return probe
	}
	if q.field == "postStart" && !r.settings.native && !r.settings.hold {
		r.warn("container %q: postStart runs before the sidecar and fails at first, without holdApplication", cut(r.name, 63))
	}
	return withHandler(probe, kind, "httpGet", rawjson.NewObject(
		rawjson.Member{Key: "path", Value: rawjson.NewString(path)},
		rawjson.Member{Key: "port", Value: r.port},
		rawjson.Member{Key: "scheme", Value: schemeHTTP}))
}

var schemeHTTP = rawjson.NewString("HTTP")

// answersItself says whether the sidecar has this port. Such a probe is one of the sidecar, or already rewritten.
func (r *rewriter) answersItself(port int64) bool {
	return port == r.settings.statusPort || port == istio.PortReady || port == istio.PortProxyStats
}

// keeps says why a probe has to stay as it is.
func (r *rewriter) keeps(q *question) error {
	switch {
	case !isLabel(r.name): // files may hold any name, which would be part of a path
		return errNoLabel
	case r.early && q.urgent(): // nobody would answer in time
		return errTooEarly
	}
	return nil
}

// portOf is the number of a probe's port. A name is one of the container's own ports, whatever their protocol: it's how
// kubelets look it up.
func portOf(container, port *rawjson.Value) (int64, error) {
	if port.Kind() == rawjson.String {
		named := byName(container.Get("ports").Items(), port.Text())
		if named == nil {
			return 0, fmt.Errorf("it has no port %q", cut(port.Text(), 15))
		}
		port = named.Get("containerPort")
	}
	if n, ok := number(port); ok && n > 0 && n <= 65535 {
		return n, nil
	}
	return 0, errNoPort
}

// isLabel says whether the API takes this as a container's name.
func isLabel(name string) bool {
	if name == "" || len(name) > 63 || name[0] == '-' || name[len(name)-1] == '-' {
		return false
	}
	for _, c := range []byte(name) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}
