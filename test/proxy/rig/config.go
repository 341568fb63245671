package rig

import "maps"

// JSON is a piece of an Envoy configuration.
type JSON = map[string]any

// LogFormat is what the proxies of this package write: status, flags, details, cluster, what was asked, by which version,
// and the x-id of the request.
const LogFormat = "%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %UPSTREAM_CLUSTER_RAW% %REQ(:METHOD)% %REQ(:PATH)% %PROTOCOL% %REQ(X-ID)%\n"

const typePrefix = "type.googleapis.com/"

// Typed makes a piece of configuration an Any.
func Typed(kind string, fields JSON) JSON { return With(JSON{"@type": typePrefix + kind}, fields) }

// With returns a copy of base with the fields of each other one.
func With(base JSON, more ...JSON) JSON {
	out := maps.Clone(base)
	for _, m := range more {
		maps.Copy(out, m)
	}
	return out
}

// Static is a bootstrap of one listener and some clusters.
func Static(listener JSON, clusters ...JSON) JSON {
	return JSON{
		"node":             JSON{"id": "rig", "cluster": "rig"},
		"static_resources": JSON{"listeners": []JSON{listener}, "clusters": clusters},
	}
}

// To is a bootstrap of a plaintext listener that sends every request to hosts of the cluster "backend", with options of
// both.
func To(host string, manager, cluster JSON) JSON {
	return Static(Listener(Manager(manager, ToBackend), nil), Cluster("backend", cluster, host))
}

// Listener is the listener that a Proxy's Address leads to. Its only chain is the manager's, behind TLS if transport isn't
// nil. What the client speaks is looked at.
func Listener(manager, transport JSON) JSON {
	chain := JSON{"filters": []JSON{{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}}}
	inspectors := []JSON{{"name": "envoy.filters.listener.tls_inspector", "typed_config": Typed("envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector", nil)}}
	if transport != nil {
		chain["transport_socket"] = transport
	} else {
		inspectors = append(inspectors, JSON{"name": "envoy.filters.listener.http_inspector", "typed_config": Typed("envoy.extensions.filters.listener.http_inspector.v3.HttpInspector", nil)})
	}
	return JSON{
		"name": "virtualInbound", "traffic_direction": "INBOUND",
		"address":          JSON{"socket_address": JSON{"address": "0.0.0.0", "port_value": 15006}},
		"filter_chains":    []JSON{chain},
		"listener_filters": inspectors, "listener_filters_timeout": "60s",
	}
}

// ToBackend sends every request to the cluster "backend".
var ToBackend = Routes(JSON{"match": JSON{"prefix": "/"}, "route": JSON{"cluster": "backend", "timeout": "0s"}})

// Routes are the routes of the only virtual host.
func Routes(routes ...JSON) JSON {
	return JSON{"name": "routes", "virtual_hosts": []JSON{{"name": "all", "domains": []string{"*"}, "routes": routes}}}
}

// Manager is an HTTP connection manager with routes, changed by fields. Without routes it asks ADS for those of the name
// "routes".
func Manager(fields, routes JSON) JSON {
	m := JSON{
		"stat_prefix": "rig",
		"access_log": []JSON{{"name": "envoy.access_loggers.file", "typed_config": Typed("envoy.extensions.access_loggers.file.v3.FileAccessLog", JSON{
			"path": "/dev/stdout", "log_format": JSON{"text_format_source": JSON{"inline_string": LogFormat}},
		})}},
		"http_filters": []JSON{{"name": "envoy.filters.http.router", "typed_config": Typed("envoy.extensions.filters.http.router.v3.Router", nil)}},
	}
	if routes != nil {
		m["route_config"] = routes
	} else {
		m["rds"] = JSON{"route_config_name": "routes", "config_source": JSON{"ads": JSON{}, "resource_api_version": "V3"}}
	}
	return Typed("envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager", With(m, fields))
}

// Cluster is a cluster of fixed hosts, changed by fields.
func Cluster(name string, fields JSON, hosts ...string) JSON {
	return With(JSON{
		"name": name, "type": "STATIC", "connect_timeout": "10s", "load_assignment": Endpoints(name, hosts...),
		"circuit_breakers": JSON{"thresholds": []JSON{{"max_connections": 10000, "max_pending_requests": 10000, "max_requests": 10000}}},
	}, fields)
}

// Endpoints are the hosts of a cluster.
func Endpoints(cluster string, hosts ...string) JSON {
	var all []JSON
	for _, h := range hosts {
		all = append(all, JSON{"endpoint": JSON{"address": address(h)}})
	}
	return JSON{"cluster_name": cluster, "endpoints": []JSON{{"lb_endpoints": all}}}
}

// HTTP2 makes a cluster speak HTTP/2.
func HTTP2() JSON {
	return upstreamOptions(JSON{"explicit_http_config": JSON{"http2_protocol_options": JSON{}}})
}

// SameProtocol makes a cluster speak the version its client speaks.
func SameProtocol() JSON {
	return upstreamOptions(JSON{"use_downstream_protocol_config": JSON{"http2_protocol_options": JSON{}, "http_protocol_options": JSON{}}})
}

func upstreamOptions(o JSON) JSON {
	const name = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
	return JSON{"typed_extension_protocol_options": JSON{name: Typed(name, o)}}
}
