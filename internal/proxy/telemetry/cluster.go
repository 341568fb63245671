package telemetry

import "time"

// Cluster are the counters of one cluster. The tags are Envoy's names below `cluster.NAME.`; what every request counts
// is in the shards: see Shard.
type Cluster struct {
	Name string

	CxTotal               Counter   `stat:"upstream_cx_total"`
	CxActive              Gauge     `stat:"upstream_cx_active"`
	CxHTTP1               Counter   `stat:"upstream_cx_http1_total"`
	CxHTTP2               Counter   `stat:"upstream_cx_http2_total"`
	CxConnectFail         Counter   `stat:"upstream_cx_connect_fail"`
	CxConnectLimit        Counter   `stat:"upstream_cx_connect_timeout"`
	CxAttemptsExceeded    Counter   `stat:"upstream_cx_connect_attempts_exceeded"`
	CxNoneHealthy         Counter   `stat:"upstream_cx_none_healthy"`
	CxOverflow            Counter   `stat:"upstream_cx_overflow"`
	CxPoolOverflow        Counter   `stat:"upstream_cx_pool_overflow"`
	CxIdleTimeout         Counter   `stat:"upstream_cx_idle_timeout"`
	CxMaxRequests         Counter   `stat:"upstream_cx_max_requests"`
	CxMaxDuration         Counter   `stat:"upstream_cx_max_duration_reached"`
	CxProtocolError       Counter   `stat:"upstream_cx_protocol_error"`
	CxCloseNotify         Counter   `stat:"upstream_cx_close_notify"`
	CxDestroy             Counter   `stat:"upstream_cx_destroy"`
	CxDestroyLocal        Counter   `stat:"upstream_cx_destroy_local"`
	CxDestroyRemote       Counter   `stat:"upstream_cx_destroy_remote"`
	CxDestroyWithRq       Counter   `stat:"upstream_cx_destroy_with_active_rq"`
	CxDestroyLocalWithRq  Counter   `stat:"upstream_cx_destroy_local_with_active_rq"`
	CxDestroyRemoteWithRq Counter   `stat:"upstream_cx_destroy_remote_with_active_rq"`
	RxBytes               Counter   `stat:"upstream_cx_rx_bytes_total"` // received from upstreams
	TxBytes               Counter   `stat:"upstream_cx_tx_bytes_total"`
	CxConnectMs           Histogram `stat:"upstream_cx_connect_ms"`
	CxLengthMs            Histogram `stat:"upstream_cx_length_ms"`

	RqTimeout                 Counter `stat:"upstream_rq_timeout"`
	RqPerTryTimeout           Counter `stat:"upstream_rq_per_try_timeout"`
	RqPerTryIdleTimeout       Counter `stat:"upstream_rq_per_try_idle_timeout"`
	RqMaxDuration             Counter `stat:"upstream_rq_max_duration_reached"`
	RqRxReset                 Counter `stat:"upstream_rq_rx_reset"`
	RqTxReset                 Counter `stat:"upstream_rq_tx_reset"`
	RqCancelled               Counter `stat:"upstream_rq_cancelled"`
	RqMaintenance             Counter `stat:"upstream_rq_maintenance_mode"`
	RqPendingTotal            Counter `stat:"upstream_rq_pending_total"`
	RqPendingActive           Gauge   `stat:"upstream_rq_pending_active"`
	RqPendingOverflow         Counter `stat:"upstream_rq_pending_overflow"`
	RqPendingFailureEject     Counter `stat:"upstream_rq_pending_failure_eject"`
	RqRetry                   Counter `stat:"upstream_rq_retry"`
	RqRetrySuccess            Counter `stat:"upstream_rq_retry_success"`
	RqRetryOverflow           Counter `stat:"upstream_rq_retry_overflow"`
	RqRetryLimitExceeded      Counter `stat:"upstream_rq_retry_limit_exceeded"`
	RqRetryBackoffExponential Counter `stat:"upstream_rq_retry_backoff_exponential"`
	RqRetryBackoffRatelimited Counter `stat:"upstream_rq_retry_backoff_ratelimited"`
	RqReplayed                Counter `stat:"upstream_rq_replayed"` // ours: the keep-alive race

	RetryOrShadowAbandoned Counter `stat:"retry_or_shadow_abandoned"`
	BindErrors             Counter `stat:"bind_errors"`
	OriginalDstInvalid     Counter `stat:"original_dst_host_invalid"`
	LBHealthyPanic         Counter `stat:"lb_healthy_panic"`
	LBLocalClusterNotOK    Counter `stat:"lb_local_cluster_not_ok"`
	LBZoneRecalculate      Counter `stat:"lb_recalculate_zone_structures"`
	LBZoneTooSmall         Counter `stat:"lb_zone_cluster_too_small"`
	LBZoneNoCapacity       Counter `stat:"lb_zone_no_capacity_left"`
	LBZoneDirectly         Counter `stat:"lb_zone_routing_all_directly"`
	LBZoneSampled          Counter `stat:"lb_zone_routing_sampled"`
	LBZoneCross            Counter `stat:"lb_zone_routing_cross_zone"`
	LBSubsetsSelected      Counter `stat:"lb_subsets_selected"`
	LBSubsetsFallback      Counter `stat:"lb_subsets_fallback"`
	MembershipChange       Counter `stat:"membership_change"`
	MembershipTotal        Gauge   `stat:"membership_total"`
	MembershipHealthy      Gauge   `stat:"membership_healthy"`
	MembershipDegraded     Gauge   `stat:"membership_degraded"`
	MembershipExcluded     Gauge   `stat:"membership_excluded"`
	MaxHostWeight          Gauge   `stat:"max_host_weight"`
	UpdateAttempt          Counter `stat:"update_attempt"`
	UpdateSuccess          Counter `stat:"update_success"`
	UpdateFailure          Counter `stat:"update_failure"`
	UpdateEmpty            Counter `stat:"update_empty"`
	UpdateNoRebuild        Counter `stat:"update_no_rebuild"`
	AssignmentTimeout      Counter `stat:"assignment_timeout_received"`

	Outlier  OutlierStats    `stat:"outlier_detection."`
	Breakers [2]BreakerStats `stat:"circuit_breakers.default.,circuit_breakers.high."`
	Health   HealthStats     `stat:"health_check."`
	TLS      TLSStats        `stat:"ssl."`
	HTTP2    HTTP2Stats      `stat:"http2."`

	shards shards[ClusterShard]
	extras extras
	calls  grpcCalls
}

// OutlierStats are outlier_detection.
type OutlierStats struct {
	EjectionsActive           Gauge   `stat:"ejections_active"`
	EnforcedTotal             Counter `stat:"ejections_enforced_total"`
	Overflow                  Counter `stat:"ejections_overflow"`
	Detected5xx               Counter `stat:"ejections_detected_consecutive_5xx"`
	Enforced5xx               Counter `stat:"ejections_enforced_consecutive_5xx"`
	DetectedGateway           Counter `stat:"ejections_detected_consecutive_gateway_failure"`
	EnforcedGateway           Counter `stat:"ejections_enforced_consecutive_gateway_failure"`
	DetectedLocal             Counter `stat:"ejections_detected_consecutive_local_origin_failure"`
	EnforcedLocal             Counter `stat:"ejections_enforced_consecutive_local_origin_failure"`
	DetectedSuccessRate       Counter `stat:"ejections_detected_success_rate"`
	EnforcedSuccessRate       Counter `stat:"ejections_enforced_success_rate"`
	DetectedFailurePercentage Counter `stat:"ejections_detected_failure_percentage"`
	EnforcedFailurePercentage Counter `stat:"ejections_enforced_failure_percentage"`
}

// BreakerStats are circuit_breakers of one priority: 1 while open. Remaining… are kept only with track_remaining.
type BreakerStats struct {
	CxOpen           Gauge `stat:"cx_open"`
	CxPoolOpen       Gauge `stat:"cx_pool_open"`
	RqOpen           Gauge `stat:"rq_open"`
	RqPendingOpen    Gauge `stat:"rq_pending_open"`
	RqRetryOpen      Gauge `stat:"rq_retry_open"`
	RemainingCx      Gauge `stat:"remaining_cx"`
	RemainingRq      Gauge `stat:"remaining_rq"`
	RemainingPending Gauge `stat:"remaining_pending"`
	RemainingRetries Gauge `stat:"remaining_retries"`
}

// HealthStats are health_check.
type HealthStats struct {
	Attempt        Counter `stat:"attempt"`
	Success        Counter `stat:"success"`
	Failure        Counter `stat:"failure"`
	PassiveFailure Counter `stat:"passive_failure"`
	NetworkFailure Counter `stat:"network_failure"`
	Healthy        Gauge   `stat:"healthy"`
	Degraded       Gauge   `stat:"degraded"`
}

// TLSStats are ssl.
type TLSStats struct {
	Handshake        Counter `stat:"handshake"`
	ConnectionError  Counter `stat:"connection_error"`
	SessionReused    Counter `stat:"session_reused"`
	NoCertificate    Counter `stat:"no_certificate"`
	FailVerifyNoCert Counter `stat:"fail_verify_no_cert"`
	FailVerifyError  Counter `stat:"fail_verify_error"`
	FailVerifySAN    Counter `stat:"fail_verify_san"`
	FailCertHash     Counter `stat:"fail_verify_cert_hash"`
}

// HTTP2Stats are http2.
type HTTP2Stats struct {
	StreamsActive               Gauge   `stat:"streams_active"`
	PendingSendBytes            Gauge   `stat:"pending_send_bytes"`
	RxReset                     Counter `stat:"rx_reset"`
	TxReset                     Counter `stat:"tx_reset"`
	GoAwaySent                  Counter `stat:"goaway_sent"`
	HeaderOverflow              Counter `stat:"header_overflow"`
	KeepAliveTimeout            Counter `stat:"keepalive_timeout"`
	TxFlushTimeout              Counter `stat:"tx_flush_timeout"`
	Trailers                    Counter `stat:"trailers"`
	RxMessagingError            Counter `stat:"rx_messaging_error"`
	DroppedUnderscores          Counter `stat:"dropped_headers_with_underscores"`
	RequestsRejectedUnderscores Counter `stat:"requests_rejected_with_underscores_in_headers"`
	InboundEmptyFrames          Counter `stat:"inbound_empty_frames_flood"`
	InboundPriorityFlood        Counter `stat:"inbound_priority_frames_flood"`
	InboundWindowFlood          Counter `stat:"inbound_window_update_frames_flood"`
	OutboundFlood               Counter `stat:"outbound_flood"`
	OutboundControlFlood        Counter `stat:"outbound_control_flood"`
}

// ClusterShard counts what every request to a cluster does.
type ClusterShard struct {
	RqTotal  Counter   `stat:"upstream_rq_total"`
	RqActive Gauge     `stat:"upstream_rq_active"` // add and take away in the same shard
	answers  responses `stat:"upstream_rq_"`
	time     Histogram `stat:"upstream_rq_time"`
	_        [64]byte  // the next object doesn't share our cache line
}

// Shard returns the counters of requests to use for a connection; id is the connection's.
func (c *Cluster) Shard(id uint64) *ClusterShard { return c.shards.at(id) }

// Response counts an answer's status (upstream_rq_completed, _2xx, _200) and how long it took since the request was
// whole (upstream_rq_time).
func (c *ClusterShard) Response(status int, took time.Duration) {
	c.answers.count(status, true)
	c.time.Record(milliseconds(took))
}

// Refused counts an answer that a filter gave in place of the upstream.
func (c *ClusterShard) Refused(status int) { c.answers.count(status, true) }

func milliseconds(d time.Duration) uint64 { return uint64(max(d, 0) / time.Millisecond) }
