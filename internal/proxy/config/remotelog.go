package config

import "time"

// Collector is a service that is told of traffic, over gRPC or HTTP.
type Collector struct {
	Cluster   string
	GRPC      bool
	Authority string // empty: Cluster
	Path      string // of HTTP
	Timeout   time.Duration
	Headers   [][2]string // names in lower case
}

// RemoteLogKind is how a collector of access logs is told.
type RemoteLogKind uint8

// The kinds of remote access logs.
const (
	HTTPLog RemoteLogKind = iota // HTTPAccessLogEntry of envoy.service.accesslog.v3
	TCPLog                       // TCPAccessLogEntry of it
	OTelLog                      // LogRecord of OpenTelemetry
)

// RemoteLog is an access log whose entries go to a collector.
type RemoteLog struct {
	Kind      RemoteLogKind
	Collector Collector
	Name      string        // log_name
	Flush     time.Duration // the longest an entry waits
	Buffer    uint32        // bytes that go at once; 0: each entry does

	RequestHeaders, ResponseHeaders, ResponseTrailers []string // logged besides the usual ones, in lower case
	FilterState                                       []string
	Tags                                              []TraceTag

	// Of OpenTelemetry.
	Body       *LogValue // nil: none
	Attributes []LogField
	Resource   []LogField // constant
	NoLabels   bool       // disable_builtin_labels
	StatPrefix string
}

// LogField is a LogValue with its key.
type LogField struct {
	Key   string
	Value LogValue
}

// LogValue is one value of an OpenTelemetry log. Exactly one field counts: Fields, List, Raw, else Text.
type LogValue struct {
	Text   string // with %…% operators
	Fields []LogField
	List   []LogValue
	Raw    []byte // an AnyValue without operators, as protobuf
	// IsList and IsObject tell empty lists and objects from a text.
	IsList, IsObject bool
}
