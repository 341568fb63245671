package upstream

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// Bounds of what a checked host may answer.
const (
	longestAnswer = 64 << 10
	longestHead   = 16 << 10
)

// probe asks once over conn. nil: the host is well.
func probe(ctx context.Context, conn net.Conn, check *config.HealthCheck, cluster *config.Cluster, h *Host) error {
	name := cmp.Or(check.Host, h.Endpoint().Hostname, cluster.Name)
	switch check.Kind {
	case config.CheckTCP:
		return probeTCP(conn, check)
	case config.CheckHTTP:
		return probeHTTP(conn, check, name)
	default:
		return probeGRPC(ctx, conn, check.Service, name)
	}
}

// probeTCP sends what is configured and waits until the pieces configured have come, in their order. With none connecting
// is enough.
func probeTCP(conn io.ReadWriter, check *config.HealthCheck) error {
	if len(check.Send) > 0 {
		if _, err := conn.Write(check.Send); err != nil {
			return err
		}
	}
	var got []byte
	buf := make([]byte, 4096)
	for !inOrder(got, check.Receive) {
		if len(got) > longestAnswer {
			return errors.New("the answer is too long and hasn't what is expected")
		}
		n, err := conn.Read(buf)
		got = append(got, buf[:n]...)
		if err != nil && !inOrder(got, check.Receive) {
			return err
		}
	}
	return nil
}

func inOrder(got []byte, pieces [][]byte) bool {
	for _, piece := range pieces {
		at := bytes.Index(got, piece)
		if at < 0 {
			return false
		}
		got = got[at+len(piece):]
	}
	return true
}

// probeHTTP sends one HTTP/1.1 request and looks at the status.
func probeHTTP(conn io.ReadWriter, check *config.HealthCheck, host string) error {
	method := cmp.Or(check.Method, http.MethodGet)
	_, err := fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nhost: %s\r\nuser-agent: Envoy/HC\r\nconnection: close\r\n\r\n", method, cmp.Or(check.Path, "/"), host)
	if err != nil {
		return err
	}
	request := &http.Request{Method: method}
	answer, err := http.ReadResponse(bufio.NewReader(io.LimitReader(conn, longestHead)), request)
	if err != nil {
		return err
	}
	_ = answer.Body.Close()
	if !expected(uint32(answer.StatusCode), check.Statuses) {
		err := fmt.Errorf("the status is %d", answer.StatusCode)
		if _, admits := answer.Header[http.CanonicalHeaderKey(FailNow)]; admits {
			err = fmt.Errorf("%w, %w", err, errAdmits)
		}
		return err
	}
	return nil
}

func expected(status uint32, ranges []config.PortRange) bool {
	if len(ranges) == 0 {
		return status == http.StatusOK
	}
	return slices.ContainsFunc(ranges, func(r config.PortRange) bool { return r.Start <= status && status < r.End })
}
