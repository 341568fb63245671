package xds

import (
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// BootstrapConfig is what a bootstrap says. Resources in it stay bytes, to be decoded like those of xDS.
type BootstrapConfig struct {
	Raw  []byte // the whole Bootstrap message, for dumps
	Node Node

	Listeners, Clusters, Secrets [][]byte // static_resources

	ADS ADSConfig
	// CDS and LDS say where clusters and listeners come from; nil: only static ones.
	CDS, LDS *ConfigSource

	AdminAddress string // ip:port; empty: none
	AdminPipe    string
	ProfilePath  string

	// Runtime are the static layers' values, later layers win; AdminLayer says that /runtime_modify may be used.
	Runtime    []RuntimeLayer
	AdminLayer bool

	StatsTags     []StatsTag
	DefaultTags   bool // use_all_default_tags; default true
	StatsMatcher  StatsMatcher
	Tracing       *config.TraceProvider // of managers that name none; nil: none
	LocalCluster  string                // cluster_manager.local_cluster_name
	FlushInterval time.Duration
	DeferCluster  bool   // cluster_manager.enable_deferred_cluster_creation
	Notes         []Note // parts that have no effect
	UnknownFields string // the first field of the text this program doesn't know; empty: none
}

// Node is the bootstrap's node.
type Node struct {
	Raw                   []byte // as protobuf, to be sent
	ID, Cluster           string
	Region, Zone, SubZone string
	Metadata              map[string]any
}

// ADSConfig is dynamic_resources.ads_config.
type ADSConfig struct {
	Cluster string // of the control plane; empty: no ADS
	Target  string // google_grpc.target_uri instead of Cluster
	Delta   bool
	// NodeOnce is set_node_on_first_message_only.
	NodeOnce bool
	// Metadata is the gRPC service's initial_metadata.
	Metadata [][2]string
	Timeout  time.Duration
}

// RuntimeLayer is one static layer of layered_runtime, flattened: a.b.c to the value's text.
type RuntimeLayer struct {
	Name   string
	Values map[string]string
}

// StatsTag is one of stats_config.stats_tags with a fixed value: a label of each statistic.
type StatsTag struct{ Name, Value string }

// StatsMatcher is stats_config.stats_matcher: which statistics exist.
type StatsMatcher struct {
	RejectAll bool
	// Include and Exclude match whole names; at most one list isn't empty.
	Include, Exclude []config.StringMatch
}
