package format

import (
	"fmt"
	"strings"
)

// attributes are Envoy's attributes, each by the operator that gives the same.
var attributes = map[string]string{
	"request.path": "REQ(:path)", "request.url_path": "PATH(NQ:PATH)", "request.host": "REQ(:authority)",
	"request.scheme": "REQ(:scheme)", "request.method": "REQ(:method)", "request.referer": "REQ(referer)",
	"request.useragent": "REQ(user-agent)", "request.time": "START_TIME", "request.id": "REQ(x-request-id)",
	"request.protocol": "PROTOCOL", "request.query": "QUERY_PARAMS", "request.duration": "DURATION",
	"request.size": "BYTES_RECEIVED", "request.total_size": "BYTES_RECEIVED",
	"response.code": "RESPONSE_CODE", "response.code_details": "RESPONSE_CODE_DETAILS", "response.flags": "RESPONSE_FLAGS",
	"response.grpc_status": "GRPC_STATUS_NUMBER", "response.size": "BYTES_SENT", "response.total_size": "BYTES_SENT",
	"response.backend_latency": "RESPONSE_DURATION",
	"source.address":           "DOWNSTREAM_REMOTE_ADDRESS", "source.port": "DOWNSTREAM_REMOTE_PORT",
	"destination.address": "DOWNSTREAM_LOCAL_ADDRESS", "destination.port": "DOWNSTREAM_LOCAL_PORT",
	"connection.id": "CONNECTION_ID", "connection.requested_server_name": "REQUESTED_SERVER_NAME",
	"connection.tls_version":                    "DOWNSTREAM_TLS_VERSION",
	"connection.subject_peer_certificate":       "DOWNSTREAM_PEER_SUBJECT",
	"connection.dns_san_peer_certificate":       "DOWNSTREAM_PEER_DNS_SAN",
	"connection.uri_san_peer_certificate":       "DOWNSTREAM_PEER_URI_SAN",
	"connection.uri_san_local_certificate":      "DOWNSTREAM_LOCAL_URI_SAN",
	"connection.termination_details":            "CONNECTION_TERMINATION_DETAILS",
	"connection.transport_failure_reason":       "DOWNSTREAM_TRANSPORT_FAILURE_REASON",
	"connection.sha256_peer_certificate_digest": "DOWNSTREAM_PEER_FINGERPRINT_256",
	"upstream.address":                          "UPSTREAM_REMOTE_ADDRESS", "upstream.port": "UPSTREAM_REMOTE_PORT",
	"upstream.local_address": "UPSTREAM_LOCAL_ADDRESS", "upstream.tls_version": "UPSTREAM_TLS_VERSION",
	"upstream.subject_peer_certificate":  "UPSTREAM_PEER_SUBJECT",
	"upstream.uri_san_peer_certificate":  "UPSTREAM_PEER_URI_SAN",
	"upstream.uri_san_local_certificate": "UPSTREAM_LOCAL_URI_SAN",
	"upstream.transport_failure_reason":  "UPSTREAM_TRANSPORT_FAILURE_REASON",
	"upstream.request_attempt_count":     "UPSTREAM_REQUEST_ATTEMPT_COUNT",
	"xds.cluster_name":                   "UPSTREAM_CLUSTER_RAW", "xds.route_name": "ROUTE_NAME",
	"xds.virtual_host_name": "VIRTUAL_HOST_NAME", "xds.filter_chain_name": "FILTER_CHAIN_NAME",
}

// families of attributes whose last part is a key.
var attributeFamilies = map[string]string{
	"request.headers": "REQ", "response.headers": "RESP", "response.trailers": "TRAILER",
	"metadata.filter_metadata": "DYNAMIC_METADATA", "xds.cluster_metadata.filter_metadata": "CLUSTER_METADATA",
	"xds.upstream_host_metadata.filter_metadata": "UPSTREAM_METADATA",
	"filter_state": "FILTER_STATE",
}

// attribute returns the operation of an attribute. Its path is what stood between dots and in brackets.
func attribute(path []string) (op, error) {
	whole := strings.Join(path, ".")
	if source, ok := attributes[whole]; ok {
		return attributeOp(source)
	}
	if len(path) == 2 && peerStates[path[0]] != nil {
		return peerState(peerStates[path[0]], path[1]), nil
	}
	if len(path) == 3 && path[0] == "filter_state" && peerStates[path[1]] != nil {
		return peerState(peerStates[path[1]], path[2]), nil
	}
	for family, operator := range attributeFamilies {
		if key, ok := strings.CutPrefix(whole, family+"."); ok && len(path) > strings.Count(family, ".")+1 {
			keys := path[strings.Count(family, ".")+1:]
			if len(keys) > 1 {
				key = strings.Join(keys, ":")
			}
			return build(token{source: operator, name: operator, arg: key, hasArg: true, limit: -1})
		}
	}
	return op{}, fmt.Errorf("the attribute %s is unknown", whole)
}

func attributeOp(source string) (op, error) {
	t, _, err := cutToken(source + "%")
	if err != nil {
		return op{}, err
	}
	return build(t)
}
