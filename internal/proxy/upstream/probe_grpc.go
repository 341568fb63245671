package upstream

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
)

// probeGRPC calls grpc.health.v1.Health/Check over HTTP/2 without negotiation. Its two messages are so small that they are
// written and read here: a request is field 1, the service's name; an answer field 1, 1 for SERVING.
func probeGRPC(ctx context.Context, conn net.Conn, service, authority string) error {
	protocols := &http.Protocols{}
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: protocols, DialContext: func(context.Context, string, string) (net.Conn, error) { return conn, nil }}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://check/grpc.health.v1.Health/Check", bytes.NewReader(checkRequest(service)))
	if err != nil {
		return err
	}
	request.Host = authority
	request.Header = http.Header{"Content-Type": {"application/grpc"}, "Te": {"trailers"}, "User-Agent": {"Envoy/HC"}}
	answer, err := transport.RoundTrip(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	message, err := io.ReadAll(io.LimitReader(answer.Body, longestAnswer))
	if err != nil {
		return err
	}
	return serving(answer, message)
}

func checkRequest(service string) []byte {
	var message []byte
	if service != "" {
		message = append(binary.AppendUvarint([]byte{1<<3 | 2}, uint64(len(service))), service...)
	}
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...)
}

// serving looks at the status, in trailers or in an answer that is nothing else, and at the message.
func serving(answer *http.Response, message []byte) error {
	status := answer.Trailer.Get("Grpc-Status")
	if status == "" {
		status = answer.Header.Get("Grpc-Status")
	}
	switch {
	case answer.StatusCode != http.StatusOK:
		return fmt.Errorf("the HTTP status is %d", answer.StatusCode)
	case status != "0":
		return fmt.Errorf("the gRPC status is %q", status)
	case !bytes.Equal(message, []byte{0, 0, 0, 0, 2, 1 << 3, 1}):
		return errors.New("the service isn't SERVING")
	default:
		return nil
	}
}
