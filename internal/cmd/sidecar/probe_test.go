package sidecar

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pillion-mesh/pillion/internal/capture/nstest"
	"github.com/pillion-mesh/pillion/internal/istio"
)

// TestProbesPassCapture: a probe goes from the kubelet to the agent to the application, and the proxy sees nothing of
// it, in both families.
func TestProbesPassCapture(t *testing.T) {
	env := probers(t, map[string]string{
		"/app-health/app/livez":         fmt.Sprintf(`{"httpGet":{"path":"/well","port":%d},"timeoutSeconds":5}`, appPort),
		"/app-health/app/readyz":        fmt.Sprintf(`{"grpc":{"port":%d,"service":"shop"},"timeoutSeconds":5}`, appPort),
		"/app-health/app/startupz":      fmt.Sprintf(`{"tcpSocket":{"port":%d},"timeoutSeconds":5}`, appPort),
		"/app-health/sick/livez":        fmt.Sprintf(`{"httpGet":{"path":"/sick","port":%d},"timeoutSeconds":5}`, appPort),
		"/app-health/nobody/livez":      `{"tcpSocket":{"port":9},"timeoutSeconds":5}`,
		"/app-health/broken/livez":      `{"httpGet":{"port":"http"}}`,
		"/app-health/sidecar/livez":     fmt.Sprintf(`{"httpGet":{"path":"/quitquitquit","port":%d}}`, istio.PortStatus),
		"/app-health/redirect/livez":    fmt.Sprintf(`{"httpGet":{"path":"/to-sidecar","port":%d}}`, appPort),
		"/app-lifecycle/app/poststartz": fmt.Sprintf(`{"httpGet":{"path":"/started","port":%d}}`, appPort),
	})
	for _, pod := range []struct{ address, source string }{{nstest.PodV4, istio.PassthroughV4}, {nstest.PodV6, istio.PassthroughV6}} {
		t.Run(pod.address, func(t *testing.T) {
			a := newProbedApp(t, pod.address, env)
			for _, c := range []struct {
				path, says string
				code       int
				reaches    bool
			}{
				{"/app-health/app/livez", "well, says kube-probe/1.36", 200, true},
				{"/app-health/app/readyz", "", 200, true},
				{"/app-health/app/startupz", "", 200, false},
				{"/app-lifecycle/app/poststartz", "well", 200, true},
				{"/app-health/sick/livez", "", 503, true},
				{"/app-health/nobody/livez", "connection refused", 500, false},
				{"/app-health/broken/livez", "want a number", 400, false},
				{"/app-health/other/livez", "app prober config does not exists for /app-health/other/livez", 400, false},
				{"/app-health/sidecar/livez", "port of the sidecar itself", 500, false},
				{"/app-health/redirect/livez", "port of the sidecar itself", 500, true},
			} {
				code, text := a.call(t, pod.address, c.path)
				if code != c.code || !strings.Contains(text, c.says) {
					t.Errorf("%s: %d %q, want %d %q", c.path, code, text, c.code, c.says)
				}
				from := a.callers()
				if c.reaches && (len(from) != 1 || from[0] != pod.source) {
					t.Errorf("%s: the application was called from %q, want %s", c.path, from, pod.source)
				}
			}
			a.expectUncaptured(t, pod.address)
			if err := a.ready(); err != nil {
				t.Errorf("after the probes: %v", err)
			}
		})
	}
}

// TestForeignHost: a probe that names another host is made to that host, as the kubelet would, and not captured.
func TestForeignHost(t *testing.T) {
	a := newProbedApp(t, nstest.PodV4, probers(t, map[string]string{
		"/app-health/app/livez": fmt.Sprintf(`{"tcpSocket":{"port":7070,"host":%q},"timeoutSeconds":5}`, nstest.PeerV4),
		// An address of the pod of the other family is the pod too.
		"/app-health/app/readyz": fmt.Sprintf(`{"httpGet":{"port":%d,"host":%q},"timeoutSeconds":5}`, appPort, nstest.PodV6),
	}))
	if code, text := a.call(t, nstest.PodV4, "/app-health/app/livez"); code != 500 {
		t.Errorf("nobody listens there: %d %q", code, text)
	}
	a.kubelet.Serve(t, 7070)
	if code, text := a.call(t, nstest.PodV4, "/app-health/app/livez"); code != 200 {
		t.Errorf("another host: %d %q", code, text)
	}
	code, text := a.call(t, nstest.PodV4, "/app-health/app/readyz")
	if from := a.callers(); code != 200 || len(from) != 1 || from[0] != istio.PassthroughV6 {
		t.Errorf("the pod's other address: %d %q, called from %q", code, text, from)
	}
	a.expectUncaptured(t, nstest.PodV4)
}

// TestOnePage: agent, proxy and application are one page that a real parser reads.
func TestOnePage(t *testing.T) {
	a := newProbedApp(t, nstest.PodV4, `ISTIO_PROMETHEUS_ANNOTATIONS={"scrape":"true","path":"/metrics","port":"8080"}`, "PILLION_SCRAPE_TARGETS=8080:/metrics,9:/x")
	if n := a.metric("orders_total", nil); n != 42 {
		t.Errorf("orders_total is %v", n)
	}
	code, page := a.call(t, nstest.PodV4, "/stats/prometheus")
	agent, proxy, app := strings.Index(page, "pillion_agent_ready 1"), strings.Index(page, "envoy_server_hot_restart_epoch"), strings.Index(page, "orders_total 42")
	if code != 200 || agent < 0 || proxy < agent || app < proxy {
		t.Errorf("status %d; agent at %d, proxy at %d, application at %d of the page", code, agent, proxy, app)
	}
	if n := a.metric("istio_agent_scrape_failures_total", map[string]string{"type": "application"}); n != 3 {
		t.Errorf("%v failing targets were counted, want one in each of 3 scrapes", n)
	}
	for _, from := range a.callers() {
		if from != istio.PassthroughV4 {
			t.Errorf("the application was scraped from %s", from)
		}
	}
}

// TestOnlyProbesAreAnyones is what comes from outside of the pod: readiness, metrics, probes.
func TestOnlyProbesAreAnyones(t *testing.T) {
	a := newProbedApp(t, nstest.PodV4, "PILLION_STATUS_PORT=15020", probers(t, map[string]string{"/app-health/app/livez": fmt.Sprintf(`{"tcpSocket":{"port":%d}}`, appPort)}))
	for path, want := range map[string]int{
		"/healthz/ready": 200, "/metrics": 200, "/stats/prometheus": 200, "/app-health/app/livez": 200, "/app-health/": 400, "/app-lifecycle/x": 400,
		"/version": 403, "/drain": 403, "/quitquitquit": 403, "/other": 404, "/app-health/../version": 403,
	} {
		if code, text := a.call(t, nstest.PodV4, path); code != want {
			t.Errorf("%s: %d %q, want %d", path, code, text, want)
		}
	}
}

// TestHookOutlivesSIGTERM: in a classic pod all containers are told to end at once, and the kubelet runs the
// application's hook through the agent, which has been told.
func TestHookOutlivesSIGTERM(t *testing.T) {
	a := newProbedApp(t, nstest.PodV4, "PILLION_TERMINATION_GRACE=60s", "MINIMUM_DRAIN_DURATION=0s",
		probers(t, map[string]string{"/app-lifecycle/app/prestopz": fmt.Sprintf(`{"httpGet":{"path":"/stop","port":%d}}`, appPort)}))
	release := sync.OnceFunc(func() { close(a.stopped) })
	t.Cleanup(release)
	hook := make(chan string, 1)
	go func() {
		code, text, err := a.try(nstest.PodV4, "/app-lifecycle/app/prestopz")
		hook <- fmt.Sprint(code, text, err)
	}()
	a.eventually("the hook runs", func() error {
		if len(a.callers()) == 0 {
			return errors.New("it wasn't called")
		}
		return nil
	})
	a.signal(syscall.SIGTERM)
	a.eventually("draining", func() error {
		if code, _ := a.call(t, nstest.PodV4, istio.PathReady); code != 503 {
			return fmt.Errorf("readiness is %d", code)
		}
		return nil
	})
	time.Sleep(500 * time.Millisecond) // ample time to leave, for an agent that doesn't wait
	release()
	if got := <-hook; got != fmt.Sprint(200, "", nil) {
		t.Errorf("the hook ended with %s", got)
	}
	if code := a.wait(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// TestReadyPortServesNothingElse: what is asked of every node there isn't a way to the application.
func TestReadyPortServesNothingElse(t *testing.T) {
	s := startSidecar(t, nstest.NewPod(t).Namespace, probers(t, map[string]string{"/app-health/app/livez": `{"tcpSocket":{"port":15021}}`}))
	for _, path := range []string{"/app-health/app/livez", "/metrics", "/stats/prometheus", "/version", "/drain"} {
		if code, text, err := s.get("http://127.0.0.1:15021" + path); err != nil || code != 404 {
			t.Errorf("%s: %d %q, %v; want 404", path, code, text, err)
		}
	}
}

// TestNoStatusPort: with status port 0 nobody listens there, and the sidecar is ready all the same.
func TestNoStatusPort(t *testing.T) {
	s := startSidecar(t, nstest.NewPod(t).Namespace, "PILLION_STATUS_PORT=0")
	if _, _, err := s.get("http://127.0.0.1:15020/healthz/ready"); err == nil {
		t.Error("port 15020 answers")
	}
	if code, out := s.request(istio.ProxyUID, "--debug-port=15020", "GET", "/version"); code != 0 {
		t.Errorf("the socket: exit %d, %s", code, out)
	}
}

// TestWaitAsHook: the postStart hook of a container that holds the application back begins before the agent listens and
// ends when the sidecar is ready.
func TestWaitAsHook(t *testing.T) {
	ns := nstest.NewPod(t).Namespace
	hook := exec.Command("/proc/self/exe", "wait", "--periodMillis=20")
	hook.Env = []string{asSidecar + "=1", quickExit}
	hook.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: istio.ProxyUID, Gid: istio.ProxyUID}}
	said := &output{}
	hook.Stdout, hook.Stderr = said, said
	ns.Must(t, hook.Start)
	ended := make(chan error, 1)
	go func() { ended <- hook.Wait() }()
	t.Cleanup(func() { _ = hook.Process.Kill() })
	startSidecar(t, ns)
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("the hook failed: %v\n%s", err, said)
		}
	case <-time.After(patience):
		t.Error("the hook doesn't end though the sidecar is ready")
	}
}
