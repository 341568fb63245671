package telemetry

import "time"

// HTTP are the counters of the HTTP connection managers with one stat prefix; a field's name is Envoy's without
// `downstream_`. What every request counts is in the shards: see Shard.
type HTTP struct {
	Prefix string

	CxTotal, CxDestroy, CxDestroyLocal, CxDestroyRemote, CxDestroyWithRq      Counter
	CxDestroyLocalWithRq, CxDestroyRemoteWithRq                               Counter
	CxHTTP1, CxHTTP2, CxSSL, CxUpgrades                                       Counter
	CxActive, CxHTTP1Active, CxHTTP2Active, CxSSLActive, CxUpgradesActive     Gauge
	CxProtocolError, CxDrainClose, CxIdleTimeout                              Counter
	CxMaxDuration, CxMaxRequests, CxDelayedCloseTimeout, CxOverloadClose      Counter
	RxBytes, TxBytes                                                          Counter // from and to the downstream
	CxLengthMs                                                                Histogram
	RqRxReset, RqTxReset, RqTooLarge, RqNonRelativePath, RqFailedPath         Counter
	RqTimeout, RqHeaderTimeout, RqIdleTimeout, RqMaxDuration, RqOverloadClose Counter
	RqTooManyResets, RqWSOnNonWSRoute, RqRedirectedPath                       Counter
	NoRoute, NoCluster, RqDirectResponse, RqRedirect                          Counter

	RBACAllowed, RBACDenied, RBACShadowAllowed, RBACShadowDenied           Counter
	FaultDelays, FaultAborts, FaultOverflow                                Counter
	FaultActive                                                            Gauge
	CORSValid, CORSInvalid                                                 Counter
	JWTAllowed, JWTDenied, JWTPreflight, JWKSFetchSuccess, JWKSFetchFailed Counter
	AuthzOK, AuthzDenied, AuthzError, AuthzDisabled, AuthzFailureAllowed   Counter
	TracingRandom, TracingForced, TracingClient, TracingNot                Counter

	HTTP2 HTTP2Stats

	shards shards[HTTPShard]
}

// HTTPShard counts what every request from downstream does.
type HTTPShard struct {
	RqTotal, RqHTTP1, RqHTTP2 Counter
	RqActive                  Gauge // add and take away in the same shard
	answers                   responses
	time                      Histogram
	_                         [64]byte // the next object doesn't share our cache line
}

// Shard returns the counters of requests to use for a connection; id is the connection's.
func (h *HTTP) Shard(id uint64) *HTTPShard { return h.shards.at(id) }

// Response counts an answer by its class (downstream_rq_completed, _2xx) and how long the request took
// (downstream_rq_time).
func (h *HTTPShard) Response(status int, took time.Duration) {
	h.answers.count(status, false)
	h.time.Record(milliseconds(took))
}
