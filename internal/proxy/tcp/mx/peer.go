package mx

import (
	"strings"

	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// Keys of the Struct, and of its LABELS.
const (
	keyNamespace = "NAMESPACE"
	keyCluster   = "CLUSTER_ID"
	keyWorkload  = "WORKLOAD_NAME"
	keyOwner     = "OWNER"
	keyLabels    = "LABELS"

	labelApp      = "app"
	labelVersion  = "version"
	labelService  = "service.istio.io/canonical-name"
	labelRevision = "service.istio.io/canonical-revision"
)

// Struct returns p as a google.protobuf.Struct, keys sorted.
func Struct(p *stream.Peer) []byte {
	labels := texts(nil, labelApp, p.App, labelService, p.CanonicalService, labelRevision, p.CanonicalRevision, labelVersion, p.Version)
	b := texts(nil, keyCluster, p.Cluster)
	if len(labels) > 0 {
		b = appendField(b, keyLabels, structValue(labels))
	}
	return texts(b, keyNamespace, p.Namespace, keyWorkload, p.Workload)
}

// texts appends fields, a key and a text each, without those that are empty.
func texts(b []byte, pairs ...string) []byte {
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			b = appendField(b, pairs[i], stringValue(pairs[i+1]))
		}
	}
	return b
}

// ParseStruct reads a google.protobuf.Struct of workload metadata. Keys it doesn't know are passed over.
func ParseStruct(b []byte) (*stream.Peer, error) {
	p := &stream.Peer{}
	owner := ""
	var inner error
	err := eachEntry(b, func(key string, v pbValue) {
		switch key {
		case keyNamespace:
			p.Namespace = v.text()
		case keyCluster:
			p.Cluster = v.text()
		case keyWorkload:
			p.Workload = v.text()
		case keyOwner:
			owner = v.text()
		case keyLabels:
			if v.isStruct && inner == nil {
				inner = parseLabels(v.bytes, p)
			}
		}
	})
	if err == nil {
		err = inner
	}
	if err != nil {
		return nil, err
	}
	if p.Workload == "" {
		p.Workload = owner[strings.LastIndexByte(owner, '/')+1:] // kubernetes://apis/apps/v1/namespaces/NS/deployments/NAME
	}
	return p, nil
}

func parseLabels(b []byte, p *stream.Peer) error {
	return eachEntry(b, func(key string, v pbValue) {
		switch key {
		case labelApp:
			p.App = v.text()
		case labelVersion:
			p.Version = v.text()
		case labelService:
			p.CanonicalService = v.text()
		case labelRevision:
			p.CanonicalRevision = v.text()
		}
	})
}
