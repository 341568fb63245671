package stream

import "strings"

// Flags are Envoy's response flags: why a request or connection ended as it did.
type Flags uint32

// The flags, in the order Envoy lists them.
const (
	FailedLocalHealthCheck Flags = 1 << iota
	NoHealthyUpstream
	UpstreamRequestTimeout
	LocalReset
	UpstreamReset
	UpstreamConnectionFailure
	UpstreamConnectionTermination
	UpstreamOverflow
	NoRouteFound // or no filter chain
	DelayInjected
	FaultInjected
	RateLimited
	UnauthorizedExternalService
	RateLimitServiceError
	DownstreamReset // the client went away
	UpstreamRetryLimitExceeded
	IdleTimeout
	InvalidEnvoyRequestHeaders
	DownstreamProtocolError
	UpstreamMaxStreamDuration
	NoFilterConfigFound
	DurationTimeout
	UpstreamProtocolError
	NoClusterFound // also for a refused dial to ourselves
	OverloadManager
	DNSResolutionFailed
	DropOverload
	flagCount = iota
)

var flagNames = [flagCount][2]string{
	{"LH", "FailedLocalHealthCheck"}, {"UH", "NoHealthyUpstream"}, {"UT", "UpstreamRequestTimeout"},
	{"LR", "LocalReset"}, {"UR", "UpstreamRemoteReset"}, {"UF", "UpstreamConnectionFailure"},
	{"UC", "UpstreamConnectionTermination"}, {"UO", "UpstreamOverflow"}, {"NR", "NoRouteFound"},
	{"DI", "DelayInjected"}, {"FI", "FaultInjected"}, {"RL", "RateLimited"}, {"UAEX", "UnauthorizedExternalService"},
	{"RLSE", "RateLimitServiceError"}, {"DC", "DownstreamConnectionTermination"}, {"URX", "UpstreamRetryLimitExceeded"},
	{"SI", "StreamIdleTimeout"}, {"IH", "InvalidEnvoyRequestHeaders"}, {"DPE", "DownstreamProtocolError"},
	{"UMSDR", "UpstreamMaxStreamDurationReached"}, {"NFCF", "NoFilterConfigFound"}, {"DT", "DurationTimeout"},
	{"UPE", "UpstreamProtocolError"}, {"NC", "NoClusterFound"}, {"OM", "OverloadManagerTerminated"},
	{"DF", "DnsResolutionFailed"}, {"DO", "DropOverload"},
}

// String lists the flags in Envoy's short form, "-" for none.
func (f Flags) String() string { return f.join(0) }

// Long lists the flags by their long names, "-" for none.
func (f Flags) Long() string { return f.join(1) }

func (f Flags) join(form int) string {
	if f == 0 {
		return "-"
	}
	if f&(f-1) == 0 { // one flag, the usual case, costs nothing
		for i := range flagNames {
			if f == 1<<i {
				return flagNames[i][form]
			}
		}
	}
	var names []string
	for i := range flagNames {
		if f&(1<<i) != 0 {
			names = append(names, flagNames[i][form])
		}
	}
	return strings.Join(names, ",")
}

// FlagNamed returns the flag with that short form, 0 if there is none.
func FlagNamed(short string) Flags {
	for i := range flagNames {
		if flagNames[i][0] == short {
			return 1 << i
		}
	}
	return 0
}
