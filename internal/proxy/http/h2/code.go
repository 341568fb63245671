package h2

import (
	"fmt"

	"github.com/pillion-mesh/pillion/internal/proxy/http/codec"
)

// Code is an error code of RST_STREAM and GOAWAY, RFC 9113 section 7.
type Code uint32

// The codes.
const (
	NoError Code = iota
	ProtocolError
	InternalError
	FlowControlError
	SettingsTimeout
	StreamClosed
	FrameSizeError
	RefusedStream
	Cancel
	CompressionError
	ConnectError
	EnhanceYourCalm
	InadequateSecurity
	HTTP11Required
)

var codeNames = [...]string{"NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT",
	"STREAM_CLOSED", "FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR",
	"ENHANCE_YOUR_CALM", "INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED"}

// String is the RFC's name.
func (c Code) String() string {
	if int(c) < len(codeNames) {
		return codeNames[c]
	}
	return fmt.Sprintf("code %d", uint32(c))
}

// Error says why this side ended a connection: the peer broke a rule, or was told NO_ERROR.
type Error struct {
	Code   Code
	Reason string
	Flood  bool // a flood guard
}

// Error is the code with the reason.
func (e *Error) Error() string { return e.Code.String() + ": " + e.Reason }

func broken(code Code, reason string) *Error { return &Error{Code: code, Reason: reason} }

func flood(reason string) *Error {
	return &Error{Code: EnhanceYourCalm, Reason: reason, Flood: true}
}

// remoteFailure is what a stream ends with that the peer reset.
func remoteFailure(code Code) *codec.Failure {
	why := codec.RemoteReset
	switch code {
	case RefusedStream:
		why = codec.RefusedStream
	case Cancel:
		why = codec.RemoteCancel
	}
	return &codec.Failure{Reason: why, Details: code.String()}
}

// localFailure is what a stream ends with that this side reset because the peer broke a rule.
func localFailure(reason string) *codec.Failure {
	return &codec.Failure{Reason: codec.Protocol, Status: 400, Details: "http2." + reason}
}

// resetCode is what a peer is told about a stream given up for a reason.
func resetCode(why codec.Reason) Code {
	switch why {
	case codec.Protocol:
		return ProtocolError
	case codec.RefusedStream, codec.Overflow:
		return RefusedStream
	case codec.ConnectFailure, codec.ConnectTimeout:
		return ConnectError
	case codec.LocalReset, codec.Interrupted, codec.RemoteCancel:
		return Cancel
	default:
		return InternalError
	}
}
