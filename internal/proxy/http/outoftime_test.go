package http

import (
	"io"
	"net"
	"net/http"
	"testing"

	"golang.org/x/net/http2"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// cancelAll is an upstream of HTTP/2 that resets each stream with CANCEL, as gRPC's do when a call's time is over.
func cancelAll(conn net.Conn) {
	if _, err := io.ReadFull(conn, make([]byte, len(http2.ClientPreface))); err != nil {
		return
	}
	framer := http2.NewFramer(conn, conn)
	err := framer.WriteSettings()
	for err == nil {
		var frame http2.Frame
		if frame, err = framer.ReadFrame(); err != nil {
			return
		}
		switch f := frame.(type) {
		case *http2.HeadersFrame:
			err = framer.WriteRSTStream(f.StreamID, http2.ErrCodeCancel)
		case *http2.SettingsFrame:
			if !f.IsAck() {
				err = framer.WriteSettingsAck()
			}
		}
	}
}

// TestOutOfTime: a call that the upstream cancels is out of time if the client gave it some and that is over, and else it
// failed. Two clocks run for it, and a client may hear of the upstream's before it looks at its own.
func TestOutOfTime(t *testing.T) {
	r := newRig(t, []string{scripted(t, cancelAll)}, func(r *rig) { r.protocol = config.UpstreamHTTP2 })
	for limit, want := range map[string]string{"1n": "4", "1H": "14", "": "14", "soon": "14"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+r.address+"/s/m", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("content-type", "application/grpc")
		if limit != "" {
			req.Header.Set("grpc-timeout", limit)
		}
		rsp, err := r.client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		rsp.Body.Close()
		if got := rsp.Header.Get("grpc-status"); got != want || rsp.StatusCode != http.StatusOK {
			t.Errorf("grpc-timeout %q: %d, grpc-status %q, want %q", limit, rsp.StatusCode, got, want)
		}
	}
}
