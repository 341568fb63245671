package inject

import (
	"slices"

	"github.com/pillion-mesh/pillion/internal/inject/rawjson"
	"github.com/pillion-mesh/pillion/internal/istio"
)

// hasAgent says whether the pod gets our agent. A template, or the user's own istio-proxy, may run something else.
func (a *assembly) hasAgent() bool {
	proxy := byName(a.rendered.main, istio.ContainerProxy)
	for _, list := range [2]string{"command", "args"} {
		for _, word := range proxy.Get(list).Items() {
			if word.Text() == "agent" {
				return true
			}
		}
	}
	return false
}

// proxyVariable is the name of a variable, also as JSON.
type proxyVariable struct {
	name   string
	quoted *rawjson.Value
}

func variableOf(name string) *proxyVariable { return &proxyVariable{name, rawjson.NewString(name)} }

// The variables that tell the agent about the application.
var (
	envProbers       = variableOf("ISTIO_KUBE_APP_PROBERS")
	envPrometheus    = variableOf("ISTIO_PROMETHEUS_ANNOTATIONS")
	envScrapeTargets = variableOf("PILLION_SCRAPE_TARGETS")
)

// setProxyEnv gives the proxy a variable, in place of one of the user's. What an earlier injection left stays where it is.
func (a *assembly) setProxyEnv(variable *proxyVariable, value string) {
	name := variable.name
	if byName(a.vars.pod.proxy().Get("env").Items(), name) != nil {
		a.warn("the injector sets %s of istio-proxy; the value it has is not used", name)
	}
	at := slices.IndexFunc(a.rendered.main, isProxy)
	proxy := a.rendered.main[at]
	if byName(proxy.Get("env").Items(), name).Get("value").Text() == value {
		return
	}
	a.rendered.main = slices.Clone(a.rendered.main)
	a.rendered.main[at] = proxy.With("env", withVariable(proxy.Get("env"), variable, a.vars.quoted(value)))
}

func isProxy(c *rawjson.Value) bool { return nameOf(c) == istio.ContainerProxy }

func withVariable(env *rawjson.Value, v *proxyVariable, value *rawjson.Value) *rawjson.Value {
	variable := rawjson.NewObject(
		rawjson.Member{Key: "name", Value: v.quoted},
		rawjson.Member{Key: "value", Value: value})
	items := make([]*rawjson.Value, 0, len(env.Items())+1)
	items = append(items, env.Items()...)
	if at := slices.IndexFunc(items, func(item *rawjson.Value) bool { return nameOf(item) == v.name }); at >= 0 {
		items[at] = variable
	} else {
		items = append(items, variable)
	}
	return rawjson.NewList(items...)
}

// warn tells the pod's author.
func (a *assembly) warn(format string, args ...any) {
	a.vars.settings.warn(format, args...)
}
