package config

// Format is a text with %…% operators, compiled by package telemetry. Literal is set if it has none.
type Format struct {
	Source  string
	Literal bool
	JSON    []FormatField // json_format: sorted by key
	// OmitEmpty leaves out what has no value instead of writing `-`.
	OmitEmpty bool
}

// FormatField is one field of a JSON log line. Nested objects have Fields.
type FormatField struct {
	Key    string
	Source string
	Fields []FormatField
}

// AccessLog is one access log.
type AccessLog struct {
	Name   string
	Path   string // /dev/stdout, /dev/stderr or a file
	Format *Format
	Remote *RemoteLog // instead of Path and Format: a collector
	Filter *LogFilter // nil: every request
}

// LogFilterKind is a kind of access log filter.
type LogFilterKind uint8

// The kinds of access log filters.
const (
	LogStatus LogFilterKind = iota
	LogDuration
	LogNotHealthCheck
	LogTraceable
	LogRuntime
	LogAnd
	LogOr
	LogHeader
	LogFlags
	LogGRPC
	LogExpression // CEL
	LogNone       // an unknown filter that was optional: takes nothing
)

// LogFilter is an AccessLogFilter.
type LogFilter struct {
	Kind     LogFilterKind
	Op       CompareOp
	Value    uint32
	Fraction *Fraction
	Filters  []*LogFilter
	Header   *HeaderMatch
	Flags    []string // short forms; empty: any flag
	Statuses []uint32 // gRPC
	Exclude  bool
	// Expression is the text of LogExpression.
	Expression string
}

// CompareOp is ComparisonFilter.op.
type CompareOp uint8

// The comparisons.
const (
	Equal CompareOp = iota
	GreaterOrEqual
	LessOrEqual
	NotEqual
)
