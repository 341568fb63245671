package probe

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
)

// The one call of grpc.health.v1.Health, over HTTP/2 without TLS as the kubelet makes it. A library for gRPC would
// cost every pod more memory than all of the agent (protocol: grpc/grpc, doc/PROTOCOL-HTTP2.md).
const (
	healthCheck  = "/grpc.health.v1.Health/Check"
	healthBytes  = 4 << 10 // of an answer, which has six
	frameHeader  = 5       // compressed or not, length
	serving      = 1       // HealthCheckResponse.ServingStatus
	serviceField = 1<<3 | 2
	statusField  = 1 << 3
)

func grpcTransport(o Options) *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Transport{
		DialContext: o.Dial.DialContext, Protocols: protocols,
		DisableKeepAlives: true, DisableCompression: true, MaxResponseHeaderBytes: headerBytes,
	}
}

func (h *Handler) checkGRPC(ctx context.Context, check *grpcCheck, userAgent string) (answer, error) {
	target := "http://" + net.JoinHostPort(h.dial.Host(""), check.Port.String()) + healthCheck
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(healthRequest(check.Service)))
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Content-Type", "application/grpc")
	req.Header.Set("Te", "trailers")
	req.Header.Set("User-Agent", userAgent)
	resp, err := h.grpc.RoundTrip(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	status, err := healthStatus(resp)
	if err == nil && status != serving {
		err = fmt.Errorf("service %q has health status %d, want 1 (SERVING)", check.Service, status)
	}
	return answer{status: http.StatusOK}, err
}

// healthRequest is a framed HealthCheckRequest{service}.
func healthRequest(service string) []byte {
	var message []byte
	if service != "" {
		message = binary.AppendUvarint([]byte{serviceField}, uint64(len(service)))
		message = append(message, service...)
	}
	frame := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message)))
	return append(frame, message...)
}

// healthStatus reads the answer to its end: the call's own status is behind it, or among the headers if there is
// nothing else.
func healthStatus(resp *http.Response) (uint64, error) {
	body, err := io.ReadAll(io.LimitReader(resp.Body, healthBytes+1))
	switch {
	case err != nil:
		return 0, fmt.Errorf("reading the answer: %w", err)
	case len(body) > healthBytes:
		return 0, fmt.Errorf("the answer is longer than %d bytes", healthBytes)
	case resp.StatusCode != http.StatusOK:
		return 0, fmt.Errorf("the server answered HTTP %s", resp.Status)
	}
	code := cmp.Or(resp.Trailer.Get("Grpc-Status"), resp.Header.Get("Grpc-Status"))
	if code != "0" {
		message := cmp.Or(resp.Trailer.Get("Grpc-Message"), resp.Header.Get("Grpc-Message"))
		return 0, fmt.Errorf("the server answered gRPC status %q: %.200s", code, message)
	}
	if len(body) < frameHeader || body[0] != 0 || int64(binary.BigEndian.Uint32(body[1:])) != int64(len(body)-frameHeader) {
		return 0, errors.New("the answer isn't one uncompressed message")
	}
	return parseHealth(body[frameHeader:])
}

// parseHealth returns field 1 of a HealthCheckResponse, the status. Fields it doesn't know are skipped.
func parseHealth(message []byte) (status uint64, err error) {
	for len(message) > 0 {
		key, n := binary.Uvarint(message)
		if n <= 0 {
			return 0, errBadMessage
		}
		value, rest, err := field(key, message[n:])
		if err != nil {
			return 0, err
		}
		if key == statusField {
			status = value
		}
		message = rest
	}
	return status, nil
}

var errBadMessage = errors.New("the answer's message is malformed")

// field returns a field's value, if it is a varint, and what is behind it.
func field(key uint64, message []byte) (value uint64, rest []byte, err error) {
	size := 0
	switch key & 7 { // the wire type
	case 0:
		value, size = binary.Uvarint(message)
	case 1:
		size = 8
	case 2:
		length, n := binary.Uvarint(message)
		if n > 0 && length <= uint64(len(message)-n) {
			size = n + int(length)
		}
	case 5:
		size = 4
	}
	if size <= 0 || size > len(message) {
		return 0, nil, errBadMessage
	}
	return value, message[size:], nil
}
