package proxy

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"

	"github.com/pillion-mesh/pillion/internal/ops"
	"github.com/pillion-mesh/pillion/internal/proxy/admin"
	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/config/source"
	"github.com/pillion-mesh/pillion/internal/proxy/config/source/dump"
	"github.com/pillion-mesh/pillion/internal/proxy/config/xds"
	"github.com/pillion-mesh/pillion/internal/proxy/telemetry"
)

// adminOptions are the parts of the proxy the admin API speaks of.
func (s *Server) adminOptions() admin.Options {
	o := admin.Options{
		Guard:  &ops.Guard{OwnUID: s.opts.UID, Peers: &ops.Kernel{Find: ops.FindSocket, Ours: ownSocket}, OnRefused: s.refused},
		Server: operations{s}, Stats: s.store, Clusters: s.upstream, Config: dumper{s.source},
		Runtime: func() *config.Runtime { return s.source.Runtime().Load() },
		Certs:   s.certificates, Logging: s.opts.Levels, Values: s.values, Explainer: s, Tap: s.tap,
	}
	if b := s.opts.Bootstrap; b != nil {
		o.ProfilePath = b.ProfilePath
	}
	return o
}

// operations are what the admin API may do to a Server.
type operations struct{ *Server }

// Process is what the process is doing at this moment.
func (s *Server) Process() telemetry.Process {
	p := telemetry.Process{State: telemetry.Live, Uptime: s.opts.Now().Sub(s.started)}
	switch {
	case s.draining.Load(), s.failing.Load():
		p.State = telemetry.Draining
	case !s.source.Came():
		p.State = telemetry.PreInitializing
	case !s.source.Ready():
		p.State = telemetry.Initializing
	}
	p.CertDays = s.certDays()
	return p
}

// certDays is how many days the first certificate is good for; nil: there is none.
func (s *Server) certDays() *int64 {
	var first *int64
	for _, secret := range s.source.Certs() {
		for _, c := range append(secret.Trust, secret.Chain...) {
			if days := int64(c.Days(s.opts.Now())); first == nil || days < *first {
				first = &days
			}
		}
	}
	return first
}

// FailHealth makes the server fail its health checks, or pass them again.
func (s operations) FailHealth(fail bool) { s.failing.Store(fail) }

// ReopenLogs opens the files of access logs anew.
func (s operations) ReopenLogs() { s.logs.Reopen() }

// dumper is the configuration under the admin API's names.
type dumper struct{ *source.Source }

func (d dumper) Dump(w io.Writer, query url.Values) error {
	q, err := dump.ParseQuery(query)
	if err != nil {
		return err
	}
	return d.Source.Dump(w, q)
}

// layers are the bootstrap's layers of runtime values; the last one may be changed, if it says so.
func layers(b *xds.BootstrapConfig) *admin.Layers {
	if b == nil {
		return admin.NewLayers(nil, nil, -1)
	}
	var names []string
	var values []map[string]string
	for _, l := range b.Runtime {
		names, values = append(names, l.Name), append(values, l.Values)
	}
	if !b.AdminLayer {
		return admin.NewLayers(names, values, -1)
	}
	return admin.NewLayers(append(names, "admin"), append(values, nil), len(names))
}

// certificates are those of all secrets.
func (s *Server) certificates() (all []admin.Certificates) {
	for _, c := range s.source.Certs() {
		all = append(all, admin.Certificates{Trust: told(c.Trust), Chain: told(c.Chain)})
	}
	return all
}

// told are certificates in the admin API's types.
func told(certificates []source.Certificate) (all []admin.Certificate) {
	for _, c := range certificates {
		one := admin.Certificate{Path: c.Path, Serial: c.Serial, ValidFrom: c.ValidFrom, Expires: c.Expires}
		for _, n := range c.Names {
			one.Names = append(one.Names, admin.SubjectName(n))
		}
		all = append(all, one)
	}
	return all
}

// Info is what /server_info says besides the state.
func (s operations) Info() admin.Info {
	info := admin.Info{Version: s.opts.Version, AllUptime: s.opts.Now().Sub(s.started), CommandLine: s.opts.CommandLine}
	if b := s.opts.Bootstrap; b != nil {
		info.Node = map[string]string{"id": b.Node.ID, "cluster": b.Node.Cluster}
	}
	return info
}

// Quit ends the process in good order.
func (s operations) Quit() { s.fail(errQuit) }

// errQuit is why the process ends when the admin API was asked to end it.
var errQuit = errors.New("/quitquitquit was called")

// Drain implements admin.Server.
func (s operations) Drain(d admin.Drain) { s.drainListeners(d) }

func (s *Server) refused(r *http.Request, why string) {
	s.opts.Log.WithName("admin").Info("Call refused", "method", r.Method, "path", r.URL.Path, "from", r.RemoteAddr, "why", why)
}

// ownSocket reports whether this process holds a socket: what it forwards carries its UID, and may not speak for it.
func ownSocket(inode uint32) (bool, error) {
	return ops.HoldsSocket("/proc", []int{os.Getpid()}, inode)
}
