package inject

import (
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/pillion-mesh/pillion/internal/inject/rawjson"
)

// settings are one pod's after its annotations.
type settings struct {
	image         string
	templates     []string
	native        bool
	capture       Capture
	captured      bool // an annotation or the user's istio-proxy changed capture
	quantities    [4]*resource.Quantity
	resources     *rawjson.Value
	allowProxyUID bool

	statusPort      int64 // of the agent: rewritten probes, merged metrics; 0: it serves neither
	rewriteProbes   bool
	mergePrometheus bool
	scrapeTargets   string // the application's metrics, as port:path,…; empty: what prometheus.io/* says
	securePort      int64  // of metrics over mTLS; 0: none
	hold            bool   // the application starts when the proxy is ready

	warnings []string
}
