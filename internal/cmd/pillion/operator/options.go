// Package operator wires the operator together: options in, a running process out, until the context ends. It decides
// nothing itself. Read wiring.go first, top to bottom; lifecycle.go says in which order things end, serve.go what is
// served where.
package operator

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/pillion-mesh/pillion/internal/controller/injector"
	"github.com/pillion-mesh/pillion/internal/controller/servingcert/rotation"
	"github.com/pillion-mesh/pillion/internal/istio"
	"github.com/pillion-mesh/pillion/internal/version"
)

// Options are the operator's settings.
type Options struct {
	Kubeconfig string
	Namespace  string
	PodName    string
	PodUID     string // for Events on this replica; may be empty
	Lease      string

	Service          string
	ServicePort      int32
	ServingHosts     []string
	TLSCert          string // files, for spec.certificates.source Provided
	TLSKey           string
	TLSCA            string
	ProbeURL         string // base of the URL at which API servers reach the probe, where there is no Service
	Now              func() time.Time
	Times            rotation.Times  // of rotations of the serving CA
	ReplicaAddresses func() []string // host:port of each replica, where no EndpointSlice has them; nil: they have

	WebhookAddress string
	OpsAddress     string
	Supervise      bool // hold the webhook's socket in this process and serve it in a child
	ListenerFD     int  // the socket's descriptor in that child; 0 elsewhere
	Restarts       int  // children of that parent that died before this one
	LastEnd        string
	KeepAlive      bool // webhook connections serve more than one call; tests need a handshake for each
	Watchdog       bool // run the degrade controller alone
	Drain          time.Duration
	Linger         time.Duration

	Revisions             string // globs of the Injectors to serve
	CreateDefaultInjector bool
	SidecarImage          string

	ClusterDomain string
	ClusterID     string
	TrustDomain   string
	MeshID        string
	Network       string
}

// Defaults are the settings of config/default.
func Defaults() Options {
	host, err := os.Hostname()
	if err != nil {
		host = "pillion" // only a label in the Lease
	}
	return Options{
		Namespace:             "pillion-system",
		PodName:               host,
		Lease:                 "pillion",
		Service:               "pillion",
		ServicePort:           443,
		Now:                   time.Now,
		Times:                 rotation.DefaultTimes(),
		WebhookAddress:        fmt.Sprintf(":%d", istio.PortWebhook),
		OpsAddress:            fmt.Sprintf(":%d", istio.PortOperatorOps),
		Supervise:             true,
		KeepAlive:             true,
		Drain:                 15 * time.Second,
		Linger:                90 * time.Second,
		Revisions:             "*",
		CreateDefaultInjector: true,
		SidecarImage:          "pillion/pillion-sidecar:" + version.Version,
		ClusterDomain:         "cluster.local",
		ClusterID:             "Kubernetes",
		TrustDomain:           "cluster.local",
	}
}

// Validate names every setting that can't be.
func (o Options) Validate() error {
	var errs []error
	for _, required := range []struct{ flag, value string }{
		{"namespace", o.Namespace}, {"pod-name", o.PodName}, {"lease", o.Lease}, {"service", o.Service},
		{"sidecar-image", o.SidecarImage}, {"cluster-domain", o.ClusterDomain}, {"trust-domain", o.TrustDomain},
	} {
		if required.value == "" {
			errs = append(errs, fmt.Errorf("--%s is empty", required.flag))
		}
	}
	if _, err := injector.ParseRevisions(o.Revisions); err != nil {
		errs = append(errs, fmt.Errorf("--revisions %w", err))
	}
	if o.ServicePort < 1 || o.ServicePort > 65535 {
		errs = append(errs, fmt.Errorf("--service-port %d: want 1 to 65535", o.ServicePort))
	}
	if (o.TLSCert == "") != (o.TLSKey == "") || o.TLSCA != "" && o.TLSCert == "" {
		errs = append(errs, errors.New("--tls-cert-file and --tls-key-file go together, and --tls-ca-file goes with them"))
	}
	if err := probeURL(o.ProbeURL); err != nil {
		errs = append(errs, err)
	}
	if o.ListenerFD != 0 && o.Supervise {
		errs = append(errs, errors.New("--webhook-listener-fd is for the child that --supervise starts; want it with --supervise=false"))
	}
	if o.Drain < 0 || o.Drain > 5*time.Minute {
		errs = append(errs, fmt.Errorf("--drain %s: want 0 to 5m", o.Drain))
	}
	if o.Linger < 0 || o.Linger > 10*time.Minute {
		errs = append(errs, fmt.Errorf("--linger %s: want 0 to 10m", o.Linger))
	}
	return errors.Join(errs...)
}

// probeURL judges the flag: the name in it decides which certificate is shown, and an address isn't sent in a handshake.
func probeURL(text string) error {
	if text == "" {
		return nil
	}
	if host := hostOf(text); !strings.HasPrefix(text, "https://") || host == "" || net.ParseIP(host) != nil {
		return fmt.Errorf("--probe-url %q: want https:// and a host name, such as https://localhost:15017", text)
	}
	return nil
}

func hostOf(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return ""
	}
	return u.Hostname()
}
