package config

import "time"

// DNSCache is a DnsCacheConfig: which hosts a DynamicForward cluster has, by the names requests ask for.
type DNSCache struct {
	Name         string
	DNS          DNSOptions    // families; Refresh if an answer has no TTL, FailureBase and FailureMax after failures
	MinRefresh   time.Duration // of answers with a TTL
	HostTTL      time.Duration // hosts that weren't used for so long are forgotten
	MaxHosts     uint32
	MaxPending   uint32        // requests that wait for answers at once
	QueryTimeout time.Duration // 0: the resolver's
	NoRetry      bool          // disable_dns_refresh_on_failure: the next request asks anew
}

// ForwardProxy is envoy.filters.http.dynamic_forward_proxy: requests to DynamicForward clusters wait until their host's
// addresses are known.
type ForwardProxy struct{ Cache string }

// ForwardProxyRoute is its PerRouteConfig: another host, literal or what a header says.
type ForwardProxyRoute struct {
	Literal string
	Header  string // lower case
}
