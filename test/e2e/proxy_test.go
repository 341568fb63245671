package e2e

import (
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/pillion-mesh/pillion/internal/istio"
)

// testBootstrap: a proxy that got a bootstrap routes HTTP request by request, and tells of it to who asks from outside:
// by a port-forward, and for what changes something by exec.
func testBootstrap(t *testing.T, e *env) {
	namespace := e.Namespace(t, map[string]string{istio.LabelInjection: "enabled"})
	example, err := os.ReadFile("../../docs/examples/inbound-http.yaml")
	if err != nil {
		t.Fatal(err)
	}
	e.apply(t, namespace, string(example)+"\n---\n"+appPod("client")+appPod("server", "  annotations: {sidecar.istio.io/bootstrapOverride: inbound-http}"))
	e.ready(t, namespace, "client", "server")
	const n = 5
	for _, ip := range e.pod(t, namespace, "server").Status.PodIPs {
		t.Run(family(ip.IP), func(t *testing.T) {
			before := e.metrics(t, namespace, "server")
			for _, a := range e.get(t, namespace, "client", "http://"+net.JoinHostPort(ip.IP, "8080")+"/", n) {
				if host, _, _ := net.SplitHostPort(a.Remote); a.Pod != "server" || host != istio.PassthroughV4 && host != istio.PassthroughV6 {
					t.Errorf("answer %+v; want pod server, called by its sidecar", a)
				}
			}
			eventually(t, 30*time.Second, func() error {
				const requests = "envoy_http_downstream_rq_total"
				labels := map[string]string{"http_conn_manager_prefix": "inbound_0.0.0.0_8080"}
				if more := e.metrics(t, namespace, "server").Sum(requests, labels) - before.Sum(requests, labels); more != n {
					return fmt.Errorf("%s rose by %v, want %d", requests, more, n)
				}
				return nil
			})
		})
	}
	eventually(t, 30*time.Second, func() error {
		if log := e.must(t, "logs", "-n", namespace, "server", "-c", istio.ContainerProxy); !strings.Contains(log, `"GET / HTTP/1.1" 200 -`) {
			return fmt.Errorf("no line of a request in the access log:\n%s", log)
		}
		return nil
	})
	for _, c := range []struct{ args, want string }{
		{"listener server -n " + namespace + " --port 15006", "Cluster: inbound|8080||"},
		{"route server." + namespace + " --name inbound|8080||", "inbound|http|8080"},
		{"cluster server -n " + namespace + " --fqdn inbound|8080|| -o json", `"address": "127.0.0.6"`},
		{"endpoint server -n " + namespace + " --cluster inbound|8080||", "HEALTHY"},
		{"bootstrap server -n " + namespace, `"useOriginalDst": true`},
		{"log server -n " + namespace + " --level http:debug", "http: debug"},
	} {
		if out, code := e.pillion(t, append([]string{"proxy-config"}, strings.Fields(c.args)...)...); code != 0 || !strings.Contains(out, c.want) {
			t.Errorf("pillion proxy-config %s: exit %d, no %q in\n%s", c.args, code, c.want, out)
		}
	}
}
