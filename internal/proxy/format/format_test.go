package format

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

func exchange() *stream.Exchange {
	conn := &stream.Conn{
		ID: 7, Remote: netip.MustParseAddrPort("10.0.0.1:3333"), Local: netip.MustParseAddrPort("10.0.0.9:80"),
		SNI: "shop.example", Listener: &config.Listener{Name: "0.0.0.0_80"}, Chain: &config.Chain{Name: "chain"},
	}
	x := &stream.Exchange{}
	x.Reset(conn, time.Date(2026, 3, 4, 5, 6, 7, 89123456, time.UTC))
	x.Protocol = stream.HTTP11
	x.Request = stream.Request{Method: "GET", Scheme: "http", Authority: "shop", Path: "/buy?item=1&q=a%20b", OriginalPath: "/old?item=1"}
	x.Request.Fields.Add("user-agent", "curl/8")
	x.Request.Fields.Add("x-request-id", "id-1")
	x.Response.Status = 503
	x.Response.Fields.Add("x-envoy-upstream-service-time", "12")
	x.ResponseTrailers.Add("grpc-status", "14")
	x.Route = &config.Route{Name: "default", Metadata: map[string]map[string]any{"istio": {"config": "/apis/x"}}}
	x.VirtualHost = &config.VirtualHost{Name: "shop:80"}
	x.Cluster = &config.Cluster{Name: "outbound|80||shop", Metadata: map[string]map[string]any{"istio": {"n": 3.0}}}
	x.ClusterName, x.Attempts = "outbound|80||shop", 2
	x.Upstream = stream.Upstream{Remote: netip.MustParseAddrPort("[fd00::2]:8080"), Local: netip.MustParseAddrPort("[fd00::1]:4444"), Host: "h:80", Protocol: stream.HTTP2}
	x.Flags, x.Details = stream.UpstreamConnectionFailure, "upstream_reset{connection timeout}"
	x.Received, x.Sent, x.GRPCStatus = 10, 20, 14
	x.RequestEnd, x.FirstUpstreamTx, x.LastUpstreamTx = time.Millisecond, 2*time.Millisecond, 3*time.Millisecond
	x.FirstUpstreamRx, x.LastUpstreamRx, x.FirstTx, x.End = 10*time.Millisecond, 15*time.Millisecond, 11*time.Millisecond, 16*time.Millisecond
	x.Metadata = map[string]map[string]any{"f": {"s": "text", "n": 1.5, "o": map[string]any{"k": true}}}
	x.Peer = &stream.Peer{Workload: "front-v1", Namespace: "shop"}
	return x
}

func TestOperators(t *testing.T) {
	for source, want := range map[string]string{
		"%START_TIME%":                                                            "2026-03-04T05:06:07.089Z",
		"%START_TIME(%Y/%m/%d %H.%M.%S %%)%":                                      "2026/03/04 05.06.07 %",
		"%START_TIME(%s %3s %6s %9s)%":                                            "1772600767 1772600767089 1772600767089123 1772600767089123456",
		"%START_TIME(%f %1f %3f)%":                                                "089123456 0 089",
		"%START_TIME(%E3S %Ez %j %e %b %a)%":                                      "07.089 +00:00 063  4 Mar Wed",
		"%EMIT_TIME%":                                                             "2026-03-04T05:06:07.105Z",
		"%REQ(:METHOD)% %REQ(:path)%":                                             "GET /buy?item=1&q=a%20b",
		"%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%":                                      "/old?item=1",
		"%REQ(Missing?User-Agent):4%":                                             "curl",
		"%REQ(missing)%":                                                          "-",
		"%RESP(X-Envoy-Upstream-Service-Time)%":                                   "12",
		"%TRAILER(grpc-status)%":                                                  "14",
		"%PROTOCOL% %UPSTREAM_PROTOCOL%":                                          "HTTP/1.1 HTTP/2",
		"%RESPONSE_CODE%":                                                         "503",
		"%RESPONSE_FLAGS% %RESPONSE_FLAGS_LONG%":                                  "UF UpstreamConnectionFailure",
		"%RESPONSE_CODE_DETAILS%":                                                 "upstream_reset{connection_timeout}",
		"%RESPONSE_CODE_DETAILS(ALLOW_WHITESPACES)%":                              "upstream_reset{connection timeout}",
		"%BYTES_RECEIVED%/%BYTES_SENT%":                                           "10/20",
		"%DURATION% %REQUEST_DURATION% %REQUEST_TX_DURATION%":                     "16 1 3",
		"%RESPONSE_DURATION% %RESPONSE_TX_DURATION%":                              "10 6",
		"%COMMON_DURATION(US_TX_BEG:US_RX_END:us)%":                               "13000",
		"%UPSTREAM_HOST% %UPSTREAM_LOCAL_ADDRESS%":                                "[fd00::2]:8080 [fd00::1]:4444",
		"%UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %UPSTREAM_REMOTE_PORT%":           "fd00::2 8080",
		"%UPSTREAM_HOST_NAME% %UPSTREAM_HOST_NAME_WITHOUT_PORT%":                  "h:80 h",
		"%UPSTREAM_CLUSTER% %UPSTREAM_REQUEST_ATTEMPT_COUNT%":                     "outbound|80||shop 2",
		"%DOWNSTREAM_REMOTE_ADDRESS% %DOWNSTREAM_DIRECT_REMOTE_PORT%":             "10.0.0.1:3333 3333",
		"%DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%":      "10.0.0.9:80 10.0.0.9",
		"%REQUESTED_SERVER_NAME% %ROUTE_NAME% %VIRTUAL_CLUSTER_NAME%":             "shop.example default other",
		"%GRPC_STATUS% %GRPC_STATUS(SNAKE_STRING)% %GRPC_STATUS_NUMBER%":          "Unavailable UNAVAILABLE 14",
		"%STREAM_ID% %CONNECTION_ID% %ACCESS_LOG_TYPE%":                           "id-1 7 DownstreamEnd",
		"%PATH(NQ:ORIG)% %PATH(NO_QUERY:PATH)% %PATH(WITH_QUERY:ORIG_OR_PATH)%":   "/old /buy /old?item=1",
		"%QUERY_PARAM(q)% %QUERY_PARAM(x)% %QUERY_PARAMS(DECODED)%":               "a%20b - item=1&q=a b",
		"%DYNAMIC_METADATA(f:s)% %DYNAMIC_METADATA(f:n)% %DYNAMIC_METADATA(f:o)%": "text 1.5 {\x22k\x22:true}",
		"%DYNAMIC_METADATA(g:s)% %DYNAMIC_METADATA(f:s:t)%":                       "- -",
		"%CLUSTER_METADATA(istio:n)% %METADATA(ROUTE:istio:config)%":              "3 /apis/x",
		"%FILTER_STATE(downstream_peer:FIELD:workload)%":                          "front-v1",
		"%DOWNSTREAM_TLS_VERSION% %DOWNSTREAM_PEER_URI_SAN%":                      "- -",
		"%LISTENER_NAME% %FILTER_CHAIN_NAME%":                                     "0.0.0.0_80 chain",
		"100%% of %%START_TIME%%":                                                 "100% of %START_TIME%",
		"plain":                                                                   "plain",
	} {
		f, err := CompileLine(source)
		if err != nil {
			t.Errorf("%s: %v", source, err)
			continue
		}
		if got := strings.ReplaceAll(string(f.Append(nil, exchange())), `\x22`, `"`); got != want {
			t.Errorf("%s: got %q, want %q", source, got, want)
		}
	}
}
