package telemetry

import "time"

// HTTP are the counters of the HTTP connection managers with one stat prefix. The tags are Envoy's names below
// `http.PREFIX.`; what every request counts is in the shards: see Shard.
type HTTP struct {
	Prefix string

	CxTotal               Counter   `stat:"downstream_cx_total"`
	CxActive              Gauge     `stat:"downstream_cx_active"`
	CxHTTP1               Counter   `stat:"downstream_cx_http1_total"`
	CxHTTP1Active         Gauge     `stat:"downstream_cx_http1_active"`
	CxHTTP2               Counter   `stat:"downstream_cx_http2_total"`
	CxHTTP2Active         Gauge     `stat:"downstream_cx_http2_active"`
	CxSSL                 Counter   `stat:"downstream_cx_ssl_total"`
	CxSSLActive           Gauge     `stat:"downstream_cx_ssl_active"`
	CxUpgrades            Counter   `stat:"downstream_cx_upgrades_total"`
	CxUpgradesActive      Gauge     `stat:"downstream_cx_upgrades_active"`
	CxDestroy             Counter   `stat:"downstream_cx_destroy"`
	CxDestroyLocal        Counter   `stat:"downstream_cx_destroy_local"`
	CxDestroyRemote       Counter   `stat:"downstream_cx_destroy_remote"`
	CxDestroyWithRq       Counter   `stat:"downstream_cx_destroy_active_rq"`
	CxDestroyLocalWithRq  Counter   `stat:"downstream_cx_destroy_local_active_rq"`
	CxDestroyRemoteWithRq Counter   `stat:"downstream_cx_destroy_remote_active_rq"`
	CxProtocolError       Counter   `stat:"downstream_cx_protocol_error"`
	CxDrainClose          Counter   `stat:"downstream_cx_drain_close"`
	CxIdleTimeout         Counter   `stat:"downstream_cx_idle_timeout"`
	CxMaxDuration         Counter   `stat:"downstream_cx_max_duration_reached"`
	CxMaxRequests         Counter   `stat:"downstream_cx_max_requests_reached"`
	CxDelayedCloseTimeout Counter   `stat:"downstream_cx_delayed_close_timeout"`
	CxOverloadClose       Counter   `stat:"downstream_cx_overload_disable_keepalive"`
	RxBytes               Counter   `stat:"downstream_cx_rx_bytes_total"` // received from the downstream
	TxBytes               Counter   `stat:"downstream_cx_tx_bytes_total"`
	CxLengthMs            Histogram `stat:"downstream_cx_length_ms"`

	RqRxReset         Counter `stat:"downstream_rq_rx_reset"`
	RqTxReset         Counter `stat:"downstream_rq_tx_reset"`
	RqTooLarge        Counter `stat:"downstream_rq_too_large"`
	RqNonRelativePath Counter `stat:"downstream_rq_non_relative_path"`
	RqFailedPath      Counter `stat:"downstream_rq_failed_path_normalization"`
	RqRedirectedPath  Counter `stat:"downstream_rq_redirected_with_normalized_path"`
	RqTimeout         Counter `stat:"downstream_rq_timeout"`
	RqHeaderTimeout   Counter `stat:"downstream_rq_header_timeout"`
	RqIdleTimeout     Counter `stat:"downstream_rq_idle_timeout"`
	RqMaxDuration     Counter `stat:"downstream_rq_max_duration_reached"`
	RqOverloadClose   Counter `stat:"downstream_rq_overload_close"`
	RqTooManyResets   Counter `stat:"downstream_rq_too_many_premature_resets"`
	RqWSOnNonWSRoute  Counter `stat:"downstream_rq_ws_on_non_ws_route"`
	NoRoute           Counter `stat:"no_route"`
	NoCluster         Counter `stat:"no_cluster"`
	RqDirectResponse  Counter `stat:"rq_direct_response"`
	RqRedirect        Counter `stat:"rq_redirect"`

	RBACAllowed         Counter `stat:"rbac.allowed"`
	RBACDenied          Counter `stat:"rbac.denied"`
	RBACShadowAllowed   Counter `stat:"rbac.shadow_allowed"`
	RBACShadowDenied    Counter `stat:"rbac.shadow_denied"`
	FaultDelays         Counter `stat:"fault.delays_injected"`
	FaultAborts         Counter `stat:"fault.aborts_injected"`
	FaultOverflow       Counter `stat:"fault.faults_overflow"`
	FaultActive         Gauge   `stat:"fault.active_faults"`
	CORSValid           Counter `stat:"cors.origin_valid"`
	CORSInvalid         Counter `stat:"cors.origin_invalid"`
	JWTAllowed          Counter `stat:"jwt_authn.allowed"`
	JWTDenied           Counter `stat:"jwt_authn.denied"`
	JWTPreflight        Counter `stat:"jwt_authn.cors_preflight_bypassed"`
	JWKSFetchSuccess    Counter `stat:"jwt_authn.jwks_fetch_success"`
	JWKSFetchFailed     Counter `stat:"jwt_authn.jwks_fetch_failed"`
	AuthzOK             Counter `stat:"ext_authz.ok"`
	AuthzDenied         Counter `stat:"ext_authz.denied"`
	AuthzError          Counter `stat:"ext_authz.error"`
	AuthzDisabled       Counter `stat:"ext_authz.disabled"`
	AuthzFailureAllowed Counter `stat:"ext_authz.failure_mode_allowed"`
	TracingRandom       Counter `stat:"tracing.random_sampling"`
	TracingForced       Counter `stat:"tracing.service_forced"`
	TracingClient       Counter `stat:"tracing.client_enabled"`
	TracingNot          Counter `stat:"tracing.not_traceable"`

	HTTP2 HTTP2Stats `stat:"http2."`

	shards shards[HTTPShard]
}

// HTTPShard counts what every request from downstream does.
type HTTPShard struct {
	RqTotal  Counter   `stat:"downstream_rq_total"`
	RqHTTP1  Counter   `stat:"downstream_rq_http1_total"`
	RqHTTP2  Counter   `stat:"downstream_rq_http2_total"`
	RqActive Gauge     `stat:"downstream_rq_active"` // add and take away in the same shard
	answers  responses `stat:"downstream_rq_"`
	time     Histogram `stat:"downstream_rq_time"`
	_        [64]byte  // the next object doesn't share our cache line
}

// Shard returns the counters of requests to use for a connection; id is the connection's.
func (h *HTTP) Shard(id uint64) *HTTPShard { return h.shards.at(id) }

// Response counts an answer by its class (downstream_rq_completed, _2xx) and how long the request took
// (downstream_rq_time).
func (h *HTTPShard) Response(status int, took time.Duration) {
	h.answers.count(status, false)
	h.time.Record(milliseconds(took))
}
