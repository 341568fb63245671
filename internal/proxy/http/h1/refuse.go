package h1

import (
	"net/http"

	"github.com/pillion-mesh/pillion/internal/proxy/http/codec"
)

func refusal(status int, rule string) *codec.Failure {
	return &codec.Failure{Reason: codec.Protocol, Status: status, Details: "http1." + rule}
}

// What is wrong with a message. In a request it is answered with Status, in a response it is an upstream's protocol
// error. The names are Envoy's where it has one.
var (
	errCharacters    = refusal(http.StatusBadRequest, "invalid_characters") // bare CR or LF, NUL, control bytes, DEL
	errFieldName     = refusal(http.StatusBadRequest, "invalid_header_name")
	errFold          = refusal(http.StatusBadRequest, "folded_line")
	errMethod        = refusal(http.StatusBadRequest, "invalid_method")
	errTarget        = refusal(http.StatusBadRequest, "invalid_url")
	errVersion       = refusal(http.StatusBadRequest, "invalid_version")
	errStatusLine    = refusal(http.StatusBadRequest, "invalid_status_line")
	errNoHost        = refusal(http.StatusBadRequest, "missing_host")
	errTwoHosts      = refusal(http.StatusBadRequest, "duplicate_host")
	errHost          = refusal(http.StatusBadRequest, "invalid_host")
	errBothLengths   = refusal(http.StatusBadRequest, "content_length_and_chunked_not_allowed")
	errLength        = refusal(http.StatusBadRequest, "invalid_content_length")
	errEncoding      = refusal(http.StatusBadRequest, "invalid_transfer_encoding")
	errConnectBody   = refusal(http.StatusBadRequest, "body_disallowed") // of CONNECT
	errConnection    = refusal(http.StatusBadRequest, "connection_header_rejected")
	errChunk         = refusal(http.StatusBadRequest, "invalid_chunk")
	errUnderscore    = refusal(http.StatusBadRequest, "unexpected_underscore")
	errExpectation   = refusal(http.StatusExpectationFailed, "unknown_expectation")
	errOldVersion    = refusal(http.StatusUpgradeRequired, "http10_not_allowed")
	errHeadSize      = refusal(http.StatusRequestHeaderFieldsTooLarge, "headers_too_large")
	errFieldCount    = refusal(http.StatusRequestHeaderFieldsTooLarge, "too_many_headers")
	errTrailers      = refusal(http.StatusRequestHeaderFieldsTooLarge, "trailers_too_large")
	errOtherEncoding = refusal(http.StatusNotImplemented, "transfer_encoding_not_supported")
	errNewVersion    = refusal(http.StatusHTTPVersionNotSupported, "version_not_supported")
)
