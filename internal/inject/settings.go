package inject

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/inject/rawjson"
)

// settings are one pod's: the Injector's (Program.baseSettings), then what its platform, its annotations and its own
// istio-proxy say. Setters are in the other files settings_*.go, one for each part of the reference.
type settings struct {
	image         string
	imageType     imageType
	templates     []string
	native        bool
	uid, gid      int64 // of the proxy container
	netBind       bool  // it may listen on ports below 1024
	capture       Capture
	captured      bool // something changed capture or the status port
	quantities    quantities
	resources     *rawjson.Value
	podResources  v1alpha1.PodResources
	allowProxyUID bool

	logLevel          string // of the proxy
	componentLogLevel string // of parts of it: scope:level,…
	agentLogLevel     string // scope:level,…
	bootstrap         string // ConfigMap with the proxy's bootstrap; empty: none
	concurrency       int64  // threads of the proxy; -1: as many as it likes
	env               []EnvVar
	volumes, mounts   []*rawjson.Value // of annotations

	statusPort      int64 // of the agent: rewritten probes, merged metrics; 0: it serves neither
	readiness       readiness
	rewriteProbes   bool
	mergePrometheus bool
	scrapeTargets   string // the application's metrics, as port:path,…; empty: what prometheus.io/* says
	securePort      int64  // of metrics over mTLS; 0: none
	hold            bool   // the application starts when the proxy is ready

	changed  bool // something but capture
	warnings []string
}

// usual says whether these are the Injector's own settings.
func (s *settings) usual() bool { return !s.changed && !s.captured }

// maxWarnings bounds what is told of one pod: nobody is shown more, and a pod may have thousands of things to tell.
const maxWarnings = 16

func (s *settings) warn(format string, args ...any) {
	if len(s.warnings) < maxWarnings {
		s.warnings = append(s.warnings, fmt.Sprintf(format, args...))
	}
}

// read takes in what a pod and its namespace say, and returns every fault. What follows from several answers, and from
// the rest of the pod, comes last.
func (s *settings) read(p *Program, pod pod, ns Namespace) []Fault {
	s.followRange(p, pod, ns)
	if len(pod.annotations.Members()) > 0 {
		if faults := s.apply(pod.annotations); len(faults) > 0 {
			s.followProxy(pod.proxy())
			return faults
		}
	}
	s.followProxy(pod.proxy())
	faults := s.resolveImage(p)
	faults = append(faults, s.resolveResources(p, pod)...)
	faults = append(faults, s.resolvePorts()...)
	return append(faults, s.resolveVolumes(pod)...)
}

func setTemplates(s *settings, value string) error {
	var names []string
	for name := range strings.SplitSeq(value, ",") {
		if name = strings.TrimSpace(name); name != "" {
			names = append(names, name)
		}
	}
	if len(names) == 0 || len(names) > 8 {
		return errors.New("want 1 to 8 template names, separated by commas")
	}
	s.templates = names
	return nil
}

func setBool(field func(*settings) *bool) func(*settings, string) error {
	return func(s *settings, value string) error {
		b, err := parseBool(value)
		if err == nil {
			*field(s) = b
		}
		return err
	}
}

// checkBool is for annotations that others read.
func checkBool(_ *settings, value string) error {
	_, err := parseBool(value)
	return err
}

func parseBool(value string) (bool, error) {
	b, err := strconv.ParseBool(value)
	if err != nil {
		return false, fmt.Errorf("%q is not a boolean; want true or false", value)
	}
	return b, nil
}

func setPodResources(s *settings, value string) error {
	switch way := v1alpha1.PodResources(value); way {
	case v1alpha1.PodResourcesPad, v1alpha1.PodResourcesShare:
		s.podResources = way
		return nil
	}
	return fmt.Errorf("%q is no way to fit into the pod's resources; want Pad or Share", value)
}
