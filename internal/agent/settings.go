package agent

import (
	"cmp"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pillion-mesh/pillion/internal/istio"
)

// Settings are everything a user can set, of agent and proxy, validated. From weak to strong: Istio's default, the mesh's
// ProxyConfig, that of PROXY_CONFIG, that of the pod's annotation, its other annotations, the environment, flags.
type Settings struct {
	PodName, PodNamespace, PodIP                   string
	ServiceAccount                                 string
	Workload, App, Version                         string // for metrics
	CanonicalService, CanonicalRevision, ClusterID string
	Owner                                          string // of the pod: kubernetes://apis/apps/v1/namespaces/…

	// What a control plane is told besides: node.go. Domain is NAMESPACE.svc.CLUSTER, empty for Istio's; Metadata are the
	// variables ISTIO_META_* without that, and what ISTIO_METAJSON_* hold.
	Role, Domain, ServiceCluster string
	Labels                       map[string]string // of the pod, as they were when the container started
	Metadata                     map[string]any
	DiscoveryAddress             string // host:port of the control plane; empty: unknown
	GRPCBootstrap                string // file for the application, if it speaks xDS itself; empty: it doesn't

	OutboundPort, InboundPort, ReadyPort, StatsPort uint16

	Transparent bool // inbound connections come by TPROXY: the socket for them takes any address, which wants NET_ADMIN

	StatusPort uint16 // 0: not served
	AdminPort  uint16 // of the proxy, on loopback; 0: not served

	// Bootstrap is a file with Envoy's bootstrap in JSON or YAML; empty: every connection goes to where it was going.
	Bootstrap string

	// What the injector took from the pod: rewritten probes, and where the application's metrics are. It is read by
	// probe and scrape.
	Probers, PrometheusAnnotations, ScrapeTargets string

	ProbeLoopback  bool // probes and scrapes go to loopback, not to the pod's address
	ProbeKeepAlive bool
	ProbeHTTP2     bool // offered to HTTPS servers

	TerminationGrace time.Duration // of the pod
	MinimumDrain     time.Duration
	MostDrain        *time.Duration // of draining, where the grace period leaves more; nil: none
	DrainTime        time.Duration  // over which the proxy asks HTTP clients to leave
	ParentShutdown   time.Duration  // after which a proxy is ended that another one has replaced
	ExitOnZero       bool           // leave when no connection is left
	QuitFromApp      bool           // the application may end the sidecar

	LogLevel, ProxyLogLevel string
	LogFormat               string
	Concurrency             int   // 0: not limited by a flag
	MaxConns                int64 // 0: by RLIMIT_NOFILE

	CaptureFailOpen bool // capture that was armed late is disarmed when the sidecar ends

	// RunDir holds the Unix sockets; it must be on a writable volume.
	RunDir string
}

// Defaults of DrainTime and ParentShutdown, Istio's.
const (
	DefaultDrainTime      = 45 * time.Second
	DefaultParentShutdown = time.Minute
)

// DefaultRunDir is on the volume istio-envoy, in memory.
const DefaultRunDir = "/etc/istio/proxy/run"

func defaults() Settings {
	return Settings{
		OutboundPort: istio.PortOutbound, InboundPort: istio.PortInbound,
		StatusPort: istio.PortStatus, AdminPort: istio.PortAdmin, ReadyPort: istio.PortReady, StatsPort: istio.PortProxyStats,
		TerminationGrace: 30 * time.Second, MinimumDrain: 5 * time.Second, ExitOnZero: true, ProbeHTTP2: true,
		DrainTime: DefaultDrainTime, ParentShutdown: DefaultParentShutdown,
		LogLevel: "info", ProxyLogLevel: "warning", LogFormat: "json", RunDir: DefaultRunDir,
	}
}

// AgentSocket and ProxySocket are the paths of the Unix sockets.
func (s Settings) AgentSocket() string { return filepath.Join(s.RunDir, "agent.sock") }

// ProxySocket is where the proxy serves its metrics to the agent.
func (s Settings) ProxySocket() string { return filepath.Join(s.RunDir, "proxy.sock") }

// OwnPorts are the ports that must never be dialled on the pod's own addresses, as configured.
func (s Settings) OwnPorts() []uint16 {
	own := s.fixedPorts()
	for _, port := range []uint16{s.StatusPort, s.AdminPort} {
		if port != 0 {
			own = append(own, port)
		}
	}
	return own
}

func (s Settings) fixedPorts() []uint16 {
	return []uint16{istio.PortAdmin, istio.PortDNS, s.OutboundPort, s.InboundPort, s.ReadyPort, s.StatsPort}
}

// Load reads flags, environment (os.Environ's form) and the container's files, whose root files is; nil: there are none.
// ignored are flags it doesn't know, and what else of all that it goes without; it returns all mistakes at once.
func Load(args, environ []string, files fs.FS) (s Settings, ignored []string, err error) {
	s = defaults()
	r := &reader{env: parseEnviron(environ), files: files}
	flags, ignored := parseFlags(args, r)
	r.cores("ISTIO_CPU_LIMIT", &s.Concurrency)
	s.DiscoveryAddress = flags["discoveryAddress"]
	notes := s.fromPod(r.env, files)
	s.fromEnv(r)
	s.fromFlags(r, flags)
	notes = append(notes, s.aboutNode(r.env, flags, args)...)
	return s, append(ignored, notes...), r.result()
}

// fromPod takes in ProxyConfigs and annotations. The injector has refused a pod whose are wrong, so this one was made by
// others, or its annotations were edited since: it goes without, for its other containers run already.
func (s *Settings) fromPod(env map[string]string, files fs.FS) (notes []string) {
	r := &reader{env: env, files: files}
	annotations := r.keyValues(annotationsFile)
	configs := r.proxyConfigs(annotations)
	r.addMetadata(configs)
	for _, c := range configs {
		s.fromProxyConfig(r, c)
	}
	s.fromAnnotations(r, annotations)
	s.Labels = r.keyValues(labelsFile)
	return append(r.notes, r.faults...)
}

func (s *Settings) fromEnv(r *reader) {
	r.text("POD_NAME", &s.PodName)
	r.text("POD_NAMESPACE", &s.PodNamespace)
	r.address("INSTANCE_IP", &s.PodIP)
	r.text("SERVICE_ACCOUNT", &s.ServiceAccount)
	r.text("ISTIO_META_WORKLOAD_NAME", &s.Workload)
	r.text("ISTIO_META_OWNER", &s.Owner)
	r.text("ISTIO_META_CLUSTER_ID", &s.ClusterID)
	s.Transparent = r.env["ISTIO_META_INTERCEPTION_MODE"] == "TPROXY"
	r.text("CANONICAL_SERVICE", &s.CanonicalService)
	r.text("CANONICAL_REVISION", &s.CanonicalRevision)
	r.port("ENVOY_STATUS_PORT", &s.ReadyPort)
	r.port("ENVOY_PROMETHEUS_PORT", &s.StatsPort)
	s.profile(r)
	s.applicationFromEnv(r)
	r.duration("PILLION_TERMINATION_GRACE", &s.TerminationGrace)
	r.duration("MINIMUM_DRAIN_DURATION", &s.MinimumDrain)
	r.boolean("EXIT_ON_ZERO_ACTIVE_CONNECTIONS", &s.ExitOnZero)
	r.boolean("PILLION_QUIT_FROM_APP", &s.QuitFromApp)
	r.boolean("PILLION_CAPTURE_FAIL_OPEN", &s.CaptureFailOpen)
	r.portOrNone("PILLION_ADMIN_PORT", &s.AdminPort)
	r.text("ISTIO_BOOTSTRAP_OVERRIDE", &s.Bootstrap)
	r.text("GRPC_XDS_BOOTSTRAP", &s.GRPCBootstrap)
	r.count("ISTIO_META_GLOBAL_DOWNSTREAM_MAX_CONNECTIONS", &s.MaxConns)
	s.App, s.Version = cmp.Or(s.Labels["app"], s.CanonicalService), cmp.Or(s.Labels["version"], s.CanonicalRevision)
}

// profile takes the ports of a profile: TSF Mesh brings connections of both ways to one.
func (s *Settings) profile(r *reader) {
	switch name := r.env["PILLION_PROFILE"]; name {
	case "", "istio":
	case "tsf":
		s.InboundPort = s.OutboundPort
	default:
		r.fault("PILLION_PROFILE", name, "istio or tsf")
	}
}

func (s *Settings) applicationFromEnv(r *reader) {
	r.text("ISTIO_KUBE_APP_PROBERS", &s.Probers)
	r.text("ISTIO_PROMETHEUS_ANNOTATIONS", &s.PrometheusAnnotations)
	r.text("PILLION_SCRAPE_TARGETS", &s.ScrapeTargets)
	r.boolean("REWRITE_PROBE_LEGACY_LOCALHOST_DESTINATION", &s.ProbeLoopback)
	r.boolean("ENABLE_PROBE_KEEPALIVE_CONNECTIONS", &s.ProbeKeepAlive)
	r.boolean("ISTIO_ENABLE_HTTP2_PROBING", &s.ProbeHTTP2)
	r.portOrNone("PILLION_STATUS_PORT", &s.StatusPort)
	if slices.Contains(s.fixedPorts(), s.StatusPort) {
		r.fault("PILLION_STATUS_PORT", strconv.Itoa(int(s.StatusPort)), "a port the sidecar doesn't use for something else")
	}
}

func (s *Settings) fromFlags(r *reader, f flags) {
	if level, set := f["log_output_level"]; set {
		s.LogLevel = r.level("--log_output_level", scopeLevel(level, "default", s.LogLevel))
	}
	if level, set := f["log-level"]; set {
		s.LogLevel = r.level("--log-level", level)
	}
	if level, set := f["proxyLogLevel"]; set {
		s.ProxyLogLevel = r.level("--proxyLogLevel", scopeLevel(level, "", s.ProxyLogLevel))
	}
	if f["log_as_json"] == "false" {
		s.LogFormat = "text"
	}
	for name, to := range s.drainDurations() {
		if value, set := f[name]; set {
			r.durationOf("--"+name, value, to)
		}
	}
	s.RunDir = cmp.Or(f["run-dir"], s.RunDir)
	if n, set := f["concurrency"]; set {
		r.concurrencyOf("--concurrency", n, &s.Concurrency)
	}
}

// drainDurations are flags, and fields of ProxyConfig.
func (s *Settings) drainDurations() map[string]*time.Duration {
	return map[string]*time.Duration{"drainDuration": &s.DrainTime, "parentShutdownDuration": &s.ParentShutdown}
}

// scopeLevel picks a scope's level out of Istio's "level,scope:level,…".
func scopeLevel(list, scope, otherwise string) string {
	for part := range strings.SplitSeq(list, ",") {
		name, level, named := strings.Cut(part, ":")
		switch {
		case !named:
			otherwise = name
		case name == scope || name == "all":
			return level
		}
	}
	return otherwise
}
