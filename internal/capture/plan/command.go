package plan

import (
	"errors"
	"net/netip"
	"time"

	"github.com/pillion-mesh/pillion/internal/istio"
)

// ErrNoBackend marks a command line that asks for a backend this build doesn't have.
var ErrNoBackend = errors.New("no usable backend")

// Command is one parsed command line.
type Command struct {
	Name    string // apply, verify, explain, diff, clean, watch, help
	Options Options

	DryRun     bool   // print the rules, change nothing
	SkipApply  bool   // only verify
	Validate   bool   // verify after applying
	Probe      bool   // verify also tries connections
	Force      bool   // rewrite even if equal
	Namespace  string // path of the network namespace; "" = the one we're in
	Record     string // where the evidence goes; "" = nowhere
	RecordAsk  bool   // Record was asked for: not writing it is an error
	Backend    string // nftables or iptables; "" = whatever works
	Binary     string // of iptables: nft or legacy; "" = whatever works
	Dialect    string // of iptables
	OwnLock    bool   // iptables' lock is the pod's, not the machine's
	Reconcile  bool   // also remove what others may have left under Istio's names
	As, Output string // of explain
	Query      Query  // of explain: the packet
	Shaped     bool   // flags say what the plan is; else explain speaks of the one that was applied
	Positional []string

	ProbePort    uint16        // where connections arrive that nobody captures
	ProbeTimeout time.Duration // for all probes together

	OwnerGroups, OwnerGroupsExclude []string // as written; Options has their numbers
	Warnings                        []string
}

// RecordDefault is where the agent looks for what capture did.
const RecordDefault = "/etc/istio/proxy/capture.json"

// Defaults of Istio's for probes.
const (
	defaultProbePort    = 15002
	defaultProbeTimeout = 5 * time.Second
)

// Environment is what parsing may ask of the outside.
type Environment struct {
	Vars      map[string]string
	LookupUID func(user string) (uid uint32, ok bool) // for $ENVOY_USER

	Resolvers   func() []netip.Addr                      // the servers of /etc/resolv.conf, for --redirect-dns
	LookupGroup func(group string) (gid uint32, ok bool) // for the owner groups
}

// defaults are those that depend on more than the flag itself. Who the proxy is by default is looked up only if nobody
// says it: reading /etc/passwd takes as long as planning.
func (c *Command) defaults(mode Mode, said bool, env Environment) {
	uid := uint32(istio.ProxyUID)
	if mode == Listed {
		uid = listedUID
		c.Options.listedDefaults()
	}
	if !said {
		uid = env.proxyUID(uid)
	}
	c.Options.ProxyUIDs = []uint32{uid}
}

// proxyUID is that of $ENVOY_USER, if there's such a user.
func (e Environment) proxyUID(otherwise uint32) uint32 {
	user := e.Vars["ENVOY_USER"]
	if user == "" {
		user = "istio-proxy"
	}
	if e.LookupUID != nil {
		if uid, ok := e.LookupUID(user); ok {
			return uid
		}
	}
	return otherwise
}
