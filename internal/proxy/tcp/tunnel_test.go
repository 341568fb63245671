package tcp

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	engine "github.com/pillion-mesh/pillion/internal/proxy/http"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
	"github.com/pillion-mesh/pillion/internal/proxy/upstream"
)

// farProxy is an HTTP proxy of net/http's, for both versions, that answers each tunnel with what it was asked for, then
// echoes, then says goodbye.
func farProxy(t *testing.T, status int) string {
	t.Helper()
	server := &http.Server{Protocols: new(http.Protocols), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		in, out := io.Reader(r.Body), io.Writer(flushing{w})
		asked := fmt.Sprintf("%s %s%s %s ", r.Method, r.Host, r.URL.Path, r.Header.Get("X-From"))
		if r.ProtoMajor == 1 && status == http.StatusOK && r.Method == http.MethodConnect {
			conn, b, err := http.NewResponseController(w).Hijack()
			if err != nil {
				return
			}
			defer conn.Close()
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n"+asked) // in one piece: the head isn't all that is read
			in, out, asked = b, conn, ""
		} else {
			_ = http.NewResponseController(w).EnableFullDuplex()
			w.WriteHeader(status)
		}
		_, _ = io.WriteString(out, asked)
		_, _ = io.Copy(out, in)
		_, _ = io.WriteString(out, " bye")
	})}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetUnencryptedHTTP2(true)
	l := listen(t)
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	return l.Addr().String()
}

type flushing struct{ http.ResponseWriter }

func (f flushing) Write(p []byte) (int, error) {
	n, err := f.ResponseWriter.Write(p)
	if err == nil {
		err = http.NewResponseController(f.ResponseWriter).Flush()
	}
	return n, err
}

// tunnelRig is a rig whose one chain asks for tunnels.
func tunnelRig(t *testing.T, proxy string, protocol config.UpstreamProtocol, how *config.Tunneling) *rig {
	t.Helper()
	var e *engine.Engine
	r := newRig(t, func(o *Options) {
		e = engine.New(engine.Options{Upstreams: o.Upstream, Store: o.Store})
		o.Tunnel = func(ctx context.Context, c *upstream.Cluster, h *upstream.Host, ask *stream.Exchange) (Tunnel, error) {
			return e.Link(ctx, c, h, ask)
		}
	})
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		e.Close(ctx)
	})
	r.cluster = r.clusterTo("c", proxy)
	r.cluster.HTTP.Protocol = protocol
	r.tcp.Tunneling = how
	return r
}

var (
	tunnelHeaders = config.HeaderOps{Add: []config.HeaderAdd{{Name: "x-from", Value: &config.Format{Source: "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"}}}}
	connects      = &config.Tunneling{Host: &config.Format{Source: "far:80", Literal: true}, Headers: tunnelHeaders}
	posts         = &config.Tunneling{Host: &config.Format{Source: "far:80", Literal: true}, Headers: tunnelHeaders, Post: true, Path: "/t"}
	protocols     = map[string]config.UpstreamProtocol{"1.1": config.UpstreamHTTP1, "2": config.UpstreamHTTP2}
)

// A connection goes through a tunnel of either kind and version, both ways to the end of each.
func TestTunnel(t *testing.T) {
	for version, protocol := range protocols {
		for want, how := range map[string]*config.Tunneling{"CONNECT far:80 127.0.0.1 ": connects, "POST far:80/t 127.0.0.1 ": posts} {
			t.Run(strings.Fields(want)[0]+" "+version, func(t *testing.T) {
				r := tunnelRig(t, farProxy(t, http.StatusOK), protocol, how)
				client := r.dial()
				sent := strings.Repeat("0123456789abcdef", 1<<16)
				var all sync.WaitGroup
				all.Go(func() {
					_, _ = io.WriteString(client, sent)
					_ = client.CloseWrite()
				})
				got, err := io.ReadAll(client)
				all.Wait()
				if whole := want + sent + " bye"; err != nil || string(got) != whole {
					t.Errorf("%v: %d bytes, want %d: %.60q", err, len(got), len(whole), got)
				}
				r.wantLine(fmt.Sprintf("- - 1048576 %d c -", len(got)))
			})
		}
	}
}

// TestTunnelRefused: a tunnel that isn't opened is a host that can't be reached.
func TestTunnelRefused(t *testing.T) {
	for name, c := range map[string]struct {
		proxy string
		host  string
		want  string
	}{
		"refused":        {farProxy(t, http.StatusForbidden), "far:80", "UF - 0 0 c "},
		"nobody listens": {"127.0.0.1:1", "far:80", "UF - 0 0 c "},
		"no host":        {farProxy(t, http.StatusOK), "a b", "UF - 0 0 c "},
	} {
		t.Run(name, func(t *testing.T) {
			for _, protocol := range protocols {
				how := *connects
				how.Host = &config.Format{Source: c.host, Literal: true}
				r := tunnelRig(t, c.proxy, protocol, &how)
				if got, err := io.ReadAll(r.dial()); len(got) > 0 {
					t.Errorf("%q, %v", got, err)
				}
				r.wantLine(c.want)
			}
		})
	}
}

// TestTunnelBroken: a client that resets its connection isn't taken for one that has sent all.
func TestTunnelBroken(t *testing.T) {
	for version, protocol := range protocols {
		t.Run(version, func(t *testing.T) {
			ended := make(chan error, 1)
			server := &http.Server{Protocols: new(http.Protocols), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				in := io.Reader(r.Body)
				if r.ProtoMajor == 1 {
					conn, b, err := http.NewResponseController(w).Hijack()
					if err != nil {
						return
					}
					defer conn.Close()
					_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\nhello")
					in = b
				} else {
					_, _ = io.WriteString(flushing{w}, "hello")
				}
				_, err := io.ReadAll(in)
				ended <- err
			})}
			server.Protocols.SetHTTP1(true)
			server.Protocols.SetUnencryptedHTTP2(true)
			l := listen(t)
			go func() { _ = server.Serve(l) }()
			t.Cleanup(func() { _ = server.Close() })
			r := tunnelRig(t, l.Addr().String(), protocol, connects)
			client := r.dial()
			if _, err := io.ReadFull(client, make([]byte, 5)); err != nil {
				t.Fatal(err)
			}
			_ = client.SetLinger(0)
			_ = client.Close()
			if err := <-ended; err == nil {
				t.Error("the far proxy was told that this is all")
			}
			r.wantLine("DC - 0 5 c")
		})
	}
}
