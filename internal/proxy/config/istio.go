package config

import "time"

// ALPN is istio.alpn: upstream ALPN by downstream protocol.
type ALPN struct{ HTTP10, HTTP11, HTTP2 []string }

// PeerMetadata is istio's peer metadata over headers: which ways it is discovered and propagated.
type PeerMetadata struct {
	DownstreamDiscovery, UpstreamDiscovery     PeerDiscovery
	DownstreamPropagation, UpstreamPropagation bool
	SkipExternalClusters                       bool
}

// PeerDiscovery are the ways peer metadata is found, as bits.
type PeerDiscovery uint8

// The ways.
const (
	PeerHeaders PeerDiscovery = 1 << iota
	PeerWorkload
)

// IstioStats is istio.stats' PluginConfig.
type IstioStats struct {
	DisableHostFallback bool
	ReportDuration      time.Duration // tcp_reporting_duration; 0: 5s
	Metrics             []MetricOverride
	Reporter            uint8 // 0: by direction, 1: server gateway
}

// MetricOverride changes the labels of one metric, or of all if Name is empty.
type MetricOverride struct {
	Name   string
	Labels map[string]*Format // added or replaced
	Remove []string
	Drop   bool
}
