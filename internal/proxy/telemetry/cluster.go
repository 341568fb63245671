package telemetry

import "time"

// Cluster are the counters of one cluster; a field's name is Envoy's without `upstream_`. What every request counts is
// in the shards: see Shard.
type Cluster struct {
	Name string

	CxTotal, CxHTTP1, CxHTTP2, CxDestroy, CxDestroyLocal, CxDestroyRemote                     Counter
	CxDestroyWithRq, CxDestroyLocalWithRq, CxDestroyRemoteWithRq                              Counter
	CxActive                                                                                  Gauge
	CxConnectFail, CxConnectLimit                                                             Counter // CxConnectLimit: connect_timeout
	CxAttemptsExceeded                                                                        Counter
	CxNoneHealthy, CxOverflow, CxPoolOverflow                                                 Counter
	CxIdleTimeout, CxMaxRequests, CxMaxDuration, CxProtocolError                              Counter
	CxCloseNotify                                                                             Counter
	RxBytes, TxBytes                                                                          Counter // received from and sent to upstreams
	CxConnectMs, CxLengthMs                                                                   Histogram
	RqTimeout, RqPerTryTimeout, RqPerTryIdleTimeout, RqMaxDuration                            Counter
	RqRxReset, RqTxReset, RqCancelled                                                         Counter
	RqPendingTotal, RqPendingOverflow, RqPendingFailureEject                                  Counter
	RqPendingActive                                                                           Gauge
	RqRetry, RqRetrySuccess, RqRetryOverflow, RqRetryLimitExceeded                            Counter
	RqRetryBackoffExponential, RqRetryBackoffRatelimited                                      Counter
	RqReplayed                                                                                Counter // ours: the keep-alive race
	RetryOrShadowAbandoned, BindErrors, OriginalDstInvalid                                    Counter
	LBHealthyPanic, LBSubsetsSelected, LBSubsetsFallback                                      Counter
	MembershipChange, UpdateAttempt, UpdateSuccess, UpdateFailure                             Counter
	UpdateEmpty, UpdateNoRebuild, AssignmentTimeout                                           Counter
	MembershipTotal, MembershipHealthy, MembershipDegraded, MembershipExcluded, MaxHostWeight Gauge

	Outlier  OutlierStats
	Breakers [2]BreakerStats // default, high
	Health   HealthStats
	TLS      TLSStats
	HTTP2    HTTP2Stats

	shards shards[ClusterShard]
}

// OutlierStats are outlier_detection.
type OutlierStats struct {
	EjectionsActive                                            Gauge
	EnforcedTotal, Overflow                                    Counter
	Detected5xx, Enforced5xx, DetectedGateway, EnforcedGateway Counter
	DetectedLocal, EnforcedLocal                               Counter
	DetectedSuccessRate, EnforcedSuccessRate                   Counter
	DetectedFailurePercentage, EnforcedFailurePercentage       Counter
}

// BreakerStats are circuit_breakers of one priority: 1 while open. Remaining… count only with track_remaining.
type BreakerStats struct {
	CxOpen, CxPoolOpen, RqOpen, RqPendingOpen, RqRetryOpen       Gauge
	RemainingCx, RemainingRq, RemainingPending, RemainingRetries Gauge
}

// HealthStats are health_check.
type HealthStats struct {
	Attempt, Success, Failure, PassiveFailure, NetworkFailure Counter
	Healthy, Degraded                                         Gauge
}

// TLSStats are ssl.
type TLSStats struct {
	Handshake, ConnectionError, SessionReused, NoCertificate       Counter
	FailVerifyNoCert, FailVerifyError, FailVerifySAN, FailCertHash Counter
}

// HTTP2Stats are http2.
type HTTP2Stats struct {
	RxReset, TxReset, GoAwaySent, HeaderOverflow, KeepAliveTimeout   Counter
	TxFlushTimeout, Trailers, RxMessagingError, DroppedUnderscores   Counter
	InboundEmptyFrames, InboundPriorityFlood, InboundWindowFlood     Counter
	OutboundFlood, OutboundControlFlood, RequestsRejectedUnderscores Counter
	StreamsActive, PendingSendBytes                                  Gauge
}

// ClusterShard counts what every request to a cluster does.
type ClusterShard struct {
	RqTotal  Counter
	RqActive Gauge // add and take away in the same shard
	answers  responses
	time     Histogram
	_        [64]byte // the next object doesn't share our cache line
}

// Shard returns the counters of requests to use for a connection; id is the connection's.
func (c *Cluster) Shard(id uint64) *ClusterShard { return c.shards.at(id) }

// Response counts an answer's status (upstream_rq_completed, _2xx, _200) and how long it took since the request was
// whole (upstream_rq_time).
func (c *ClusterShard) Response(status int, took time.Duration) {
	c.answers.count(status, true)
	c.time.Record(milliseconds(took))
}

func milliseconds(d time.Duration) uint64 { return uint64(max(d, 0) / time.Millisecond) }
