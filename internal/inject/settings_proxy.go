package inject

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/inject/rawjson"
)

func setLogLevel(s *settings, value string) error {
	s.logLevel = value
	return v1alpha1.LogLevel(value)
}

func setComponentLogLevel(s *settings, value string) error {
	clean, err := v1alpha1.ComponentLogLevel(value)
	s.componentLogLevel = clean
	return err
}

// agentLevels are what Istio's agent calls its levels, and ours.
var agentLevels = map[string]string{"warn": "warning", "none": "off", "fatal": "critical"}

func setBootstrap(s *settings, value string) error {
	s.bootstrap = value
	if faults := validation.IsDNS1123Subdomain(value); len(faults) > 0 {
		return errors.New("want the name of a ConfigMap: " + faults[0])
	}
	return nil
}

// checkDiscoveryAddress checks what the agent reads itself.
func checkDiscoveryAddress(_ *settings, value string) error {
	host, port, err := net.SplitHostPort(value)
	if err == nil {
		_, err = parseNumber(port, 1, 65535)
	}
	if _, notIP := netip.ParseAddr(host); err != nil || notIP != nil && len(validation.IsDNS1123Subdomain(strings.TrimSuffix(host, "."))) > 0 {
		return fmt.Errorf("%q is no host and port; want host:port, such as istiod.istio-system.svc:15012", cut(value, shown))
	}
	return nil
}

// setAgentLogLevel takes a level, or levels of scopes, as Istio's agent does. Ours has the scope "default" only; what
// isn't said of it is the Injector's.
func setAgentLogLevel(s *settings, value string) error {
	clean, err := eachListed(value, func(item string) (string, error) {
		scope, level, scoped := strings.Cut(item, ":")
		if !scoped {
			scope, level = agentScope, item
		}
		if known, ok := agentLevels[level]; ok {
			level = known
		}
		if err := v1alpha1.LogLevel(level); err != nil {
			return "", err
		}
		return v1alpha1.ComponentLogLevel(scope + ":" + level)
	})
	if err == nil && clean == "" {
		err = fmt.Errorf("it is empty; want a level, such as debug, or scope:level")
	}
	if err != nil {
		return err
	}
	if strings.HasPrefix(clean, agentScope+":") || strings.Contains(clean, ","+agentScope+":") {
		s.agentLogLevel = clean
	} else {
		s.agentLogLevel += "," + clean
	}
	return nil
}

// agentScope is the one our agent logs in.
const agentScope = "default"

// Bounds of short lists. They become arguments or variables, which may not have 128 KiB.
const (
	maxListed      = 64
	maxListedBytes = 64 << 10
)

// eachListed checks the items of a comma-separated list, and returns it without spaces and empty items.
func eachListed(list string, check func(string) (string, error)) (string, error) {
	if len(list) > maxListedBytes {
		return "", fmt.Errorf("the list has %d bytes; want at most %d", len(list), maxListedBytes)
	}
	var items []string
	for item := range strings.SplitSeq(list, ",") {
		if item = strings.TrimSpace(item); item == "" {
			continue
		}
		if len(items) == maxListed {
			return "", fmt.Errorf("the list has more than %d items", maxListed)
		}
		item, err := check(item)
		if err != nil {
			return "", err
		}
		items = append(items, item)
	}
	return strings.Join(items, ","), nil
}

// moreArgs are flags of the agent that most pods don't have.
func (s *settings) moreArgs() []string {
	var args []string
	if s.componentLogLevel != "" {
		args = append(args, "--proxyComponentLogLevel="+s.componentLogLevel)
	}
	if s.concurrency >= 0 {
		args = append(args, fmt.Sprintf("--concurrency=%d", s.concurrency))
	}
	return args
}

// Capabilities of the proxy's container, by what it has to do.
var (
	plainCapabilities   = capabilities(nil)
	netBindCapabilities = capabilities([]string{"NET_BIND_SERVICE"})
	tproxyCapabilities  = capabilities([]string{"NET_ADMIN"})
	bothCapabilities    = capabilities([]string{"NET_ADMIN", "NET_BIND_SERVICE"})
)

// capabilities of the proxy's container: all others are dropped.
func capabilities(add []string) *rawjson.Value {
	members := []rawjson.Member{{Key: "drop", Value: stringList([]string{"ALL"})}}
	if add != nil {
		members = append([]rawjson.Member{{Key: "add", Value: stringList(add)}}, members...)
	}
	return rawjson.NewObject(members...).Freeze()
}

func (s *settings) capabilities() *rawjson.Value {
	switch {
	case s.netBind && s.transparent():
		return bothCapabilities
	case s.transparent():
		return tproxyCapabilities
	case s.netBind:
		return netBindCapabilities
	}
	return plainCapabilities
}

// transparent says that the proxy takes connections to addresses that aren't its own, and makes some from those.
func (s *settings) transparent() bool { return s.capture.Mode == v1alpha1.CaptureTProxy }

// runAsUser is the proxy's user. Only root holds a capability without a file capability or an ambient one; capture
// still knows it by its group.
func (s *settings) runAsUser() int64 {
	if s.netBind || s.transparent() {
		return 0
	}
	return s.uid
}

// literal keeps the kubelet from expanding $(NAME) in a variable's value.
func literal(value string) string {
	if strings.Contains(value, "$(") || strings.Contains(value, "$$") {
		return strings.ReplaceAll(value, "$", "$$")
	}
	return value
}

// proxyEnv is the environment the proxy gets besides the template's; of two of a name the later counts.
func (v *vars) proxyEnv() []EnvVar {
	injectors := v.program.spec().Proxy.Env
	if len(injectors) == 0 && len(v.settings.env) == 0 {
		return v.env
	}
	env := make([]EnvVar, 0, len(injectors)+len(v.env)+len(v.settings.env))
	for _, e := range injectors {
		env = append(env, EnvVar{e.Name, e.Value})
	}
	return append(append(env, v.env...), v.settings.env...)
}
