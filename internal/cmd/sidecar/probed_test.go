package sidecar

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/pillion-mesh/pillion/internal/capture/nstest"
	"github.com/pillion-mesh/pillion/internal/istio"
)

// probedApp is an application with everything the kubelet and Prometheus may call, in a pod with capture rules, and
// the kubelet outside of it.
type probedApp struct {
	*sidecar
	kubelet *nstest.Namespace
	stopped chan struct{} // the application's preStop hook returns when it is closed

	mu   sync.Mutex
	from []string // who called
}

// newProbedApp starts the application, and the sidecar with podIP as the pod's address.
func newProbedApp(t *testing.T, podIP string, env ...string) *probedApp {
	t.Helper()
	pod := nstest.NewPod(t)
	applyCapture(t, pod.Namespace)
	a := &probedApp{kubelet: pod.Peer, stopped: make(chan struct{})}
	a.serve(t, pod.Namespace)
	a.sidecar = startSidecar(t, pod.Namespace, append(env, "INSTANCE_IP="+podIP)...)
	return a
}

// serve answers HTTP/1.1, and gRPC's health check over HTTP/2, on one port.
func (a *probedApp) serve(t *testing.T, ns *nstest.Namespace) {
	t.Helper()
	server := &http.Server{Handler: http.HandlerFunc(a.answer), Protocols: new(http.Protocols), ReadHeaderTimeout: patience}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetUnencryptedHTTP2(true)
	for _, network := range []string{"tcp4", "tcp6"} {
		var l net.Listener
		ns.Must(t, func() (err error) {
			l, err = new(net.ListenConfig).Listen(context.Background(), network, fmt.Sprintf(":%d", appPort))
			return err
		})
		go func() { _ = server.Serve(l) }()
	}
	t.Cleanup(func() { server.Close() })
}

func (a *probedApp) answer(w http.ResponseWriter, r *http.Request) {
	host, _, _ := net.SplitHostPort(r.RemoteAddr)
	a.mu.Lock()
	a.from = append(a.from, host)
	a.mu.Unlock()
	switch r.URL.Path {
	case "/grpc.health.v1.Health/Check":
		w.Header().Set("Content-Type", "application/grpc")
		_, _ = io.WriteString(w, "\x00\x00\x00\x00\x02\x08\x01")
		w.Header().Set(http.TrailerPrefix+"Grpc-Status", "0")
	case "/metrics":
		_, _ = io.WriteString(w, "# TYPE orders_total counter\norders_total 42\n")
	case "/to-sidecar":
		pod, _, _ := net.SplitHostPort(r.Host)
		http.Redirect(w, r, "http://"+net.JoinHostPort(pod, fmt.Sprint(istio.PortStatus))+"/quitquitquit", http.StatusTemporaryRedirect)
	case "/stop":
		<-a.stopped
	case "/sick":
		w.WriteHeader(http.StatusServiceUnavailable)
	default:
		_, _ = io.WriteString(w, "well, says "+r.UserAgent())
	}
}

func (a *probedApp) callers() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	defer func() { a.from = nil }()
	return a.from
}

// call asks the agent from outside of the pod.
func (a *probedApp) call(t *testing.T, address, path string) (int, string) {
	t.Helper()
	code, text, err := a.try(address, path)
	if err != nil {
		t.Fatal(err)
	}
	return code, text
}

func (a *probedApp) try(address, path string) (int, string, error) {
	client := &http.Client{Timeout: patience, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(_ context.Context, network, address string) (conn net.Conn, err error) {
			err = a.kubelet.Do(func() error { conn, err = net.Dial(network, address); return err })
			return conn, err
		},
	}}
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://"+net.JoinHostPort(address, fmt.Sprint(istio.PortStatus))+path, nil)
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("User-Agent", "kube-probe/1.36")
	resp, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), err
}

// expectUncaptured makes one connection that is captured, and wants the proxy to have seen no other.
func (a *probedApp) expectUncaptured(t *testing.T, address string) {
	t.Helper()
	conn := dialIn(t, a.kubelet, netip.AddrPortFrom(netip.MustParseAddr(address), appPort))
	if _, err := io.WriteString(conn, "GET /well HTTP/1.0\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if answer, err := io.ReadAll(conn); err != nil || !strings.Contains(string(answer), "well") {
		t.Fatalf("calling the application itself: %q, %v", answer, err)
	}
	if n := a.metric("istio_tcp_connections_opened_total", nil); n != 1 {
		t.Errorf("%v connections went through the proxy, want only the one that is no probe", n)
	}
}

// probers is the environment the injector writes.
func probers(t *testing.T, probes map[string]string) string {
	t.Helper()
	values := map[string]json.RawMessage{}
	for path, value := range probes {
		values[path] = json.RawMessage(value)
	}
	text, err := json.Marshal(values)
	if err != nil {
		t.Fatal(err)
	}
	return "ISTIO_KUBE_APP_PROBERS=" + string(text)
}
