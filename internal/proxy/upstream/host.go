package upstream

import (
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// Host is one address of a cluster. It is the same *Host as long as the cluster has that address and dials it in the
// same way: its connections, counters and health survive updates.
type Host struct {
	// The fields every update looks at come first: they share a cache line.
	endpoint atomic.Pointer[config.Endpoint]
	Address  netip.AddrPort
	match    map[string]string // the endpoint's TLSMatch; under Cluster.mu
	mark     uint64            // of the last update that had this host; under Cluster.mu
	flags    atomic.Uint32     // health flags set here: active checks, outlier detection
	gone     atomic.Bool
	admitted uint32 // how often it said that its checks fail; under Cluster.mu

	// Active is the number of requests under way; who sends one adds 1, and takes it away again.
	Active   atomic.Int64
	Stats    HostStats
	Pipe     string // path of a Unix socket; then Address is invalid
	cluster  *Cluster
	locality atomic.Pointer[config.Locality] // without its hosts
	since    time.Time                       // when it came, or became healthy; under Cluster.mu
	outlier  atomic.Pointer[monitor]         // nil: nothing was told yet
	H1       PoolH1
}

// HostStats are a host's counters. Requests are counted by Result, connections by Dial.
type HostStats struct {
	CxTotal, CxConnectFail                 counter
	CxActive                               atomic.Int64
	RqTotal, RqSuccess, RqError, RqTimeout counter
}

type counter = atomic.Uint64

// Endpoint is the host as configured. Of an original destination only Address is set.
func (h *Host) Endpoint() *config.Endpoint { return h.endpoint.Load() }

// Locality is where the host stands. Its Hosts aren't set.
func (h *Host) Locality() *config.Locality { return h.locality.Load() }

// Gone reports whether the cluster doesn't have the host any more: its connections are to be closed when they are idle.
func (h *Host) Gone() bool { return h.gone.Load() }

// Cluster is the cluster the host belongs to.
func (h *Host) Cluster() *Cluster { return h.cluster }

// String is the address as Envoy writes it.
func (h *Host) String() string {
	if h.Pipe != "" {
		return h.Pipe
	}
	return h.Address.String()
}

// Health flags.
const (
	failedActive uint32 = 1 << iota
	failedOutlier
	pendingActive // not checked yet
	excluded      // said itself that its checks fail; only with failedActive
)

func (h *Host) set(flag uint32)      { h.flags.Or(flag) }
func (h *Host) unset(flag uint32)    { h.flags.And(^flag) }
func (h *Host) has(flag uint32) bool { return h.flags.Load()&flag != 0 }

// availability says whether requests go to a host.
type availability uint8

const (
	healthy availability = iota
	degraded
	unavailable
	leftOut // unavailable, and in no share either
)

// available joins what the endpoint's health_status says with what was found out here.
func (h *Host) available(e *config.Endpoint) availability {
	switch {
	case h.has(excluded):
		return leftOut
	case h.flags.Load() != 0 || e.Health >= config.Unhealthy:
		return unavailable
	case e.Health == config.Degraded:
		return degraded
	default:
		return healthy
	}
}
