package codec

// Reason says why a stream or a connection failed. Text is Envoy's word in details, `connection_termination`.
type Reason uint8

// The reasons.
const (
	Termination    Reason = iota // the peer closed or reset the TCP connection
	RemoteReset                  // the peer reset the HTTP/2 stream
	RemoteCancel                 // the peer reset it with CANCEL, as gRPC does when a call's time is over
	RefusedStream                // the peer didn't process the stream: REFUSED_STREAM, or above GOAWAY's last id
	ConnectFailure               // connecting failed
	ConnectTimeout
	Overflow    // a circuit breaker
	Protocol    // the peer broke the rules
	LocalReset  // this side gave up
	Interrupted // Interrupt was called
)

var reasons = [...]string{
	"connection_termination", "remote_reset", "remote_reset", "remote_refused_stream_reset", "remote_connection_failure",
	"connection_timeout", "overflow", "protocol_error", "local_reset", "local_reset",
}

// String is the reason as Envoy's response code details have it.
func (r Reason) String() string { return reasons[r] }

// Failure is the error all reads and writes of a codec end with.
type Failure struct {
	Reason Reason
	// Status answers a client's broken request: 400, 408, 413, 431, 501, 505. 0 with any other failure.
	Status int
	// Details are the response code details that go with Status, http1.codec_error; or more words about Reason.
	Details string
	Err     error // may be nil
}

// Error is the reason with its details.
func (f *Failure) Error() string {
	text := f.Reason.String()
	if f.Details != "" {
		text += ": " + f.Details
	}
	if f.Err != nil {
		text += ": " + f.Err.Error()
	}
	return text
}

// Unwrap is the error of the network, or nil.
func (f *Failure) Unwrap() error { return f.Err }
