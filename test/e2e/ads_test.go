package e2e

import (
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pillion-mesh/pillion/internal/istio"
	"github.com/pillion-mesh/pillion/test/ads/plane"
	"github.com/pillion-mesh/pillion/test/cluster/images"
)

// controlPlane is a pod that serves ADS, with its Service, and a bootstrap that leads there.
const controlPlane = `
apiVersion: v1
kind: Pod
metadata: {name: plane, labels: {app: plane, sidecar.istio.io/inject: "false"}}
spec:
  terminationGracePeriodSeconds: 1
  containers: [{name: ads, image: "localhost/ads:1", imagePullPolicy: IfNotPresent, readinessProbe: {tcpSocket: {port: 15010}, periodSeconds: 1}}]
---
apiVersion: v1
kind: Service
metadata: {name: plane}
spec: {selector: {app: plane}, ports: [{port: 15010}]}
---
apiVersion: v1
kind: Service
metadata: {name: bill-service}
spec: {selector: {app: bill-v1}, ports: [{port: 9999, targetPort: 80}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: over-ads}
data:
  custom_bootstrap.json: |
    node: {id: sidecar, cluster: bill}
    dynamic_resources:
      lds_config: {ads: {}, resource_api_version: V3}
      cds_config: {ads: {}, resource_api_version: V3}
      ads_config: {api_type: DELTA_GRPC, transport_api_version: V3, grpc_services: [{envoy_grpc: {cluster_name: xds-grpc}}]}
    static_resources:
      clusters:
      - name: xds-grpc
        type: STRICT_DNS
        connect_timeout: 1s
        typed_extension_protocol_options:
          envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
            "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
            explicit_http_config: {http2_protocol_options: {}}
        load_assignment:
          cluster_name: xds-grpc
          endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: plane.NAMESPACE.svc.cluster.local, port_value: 15010}}}}]}]
---
`

const overADS = `  annotations: {sidecar.istio.io/bootstrapOverride: over-ads}`

// testADS: sidecars that get everything over ADS route by weight, follow changes, refuse what is wrong without losing what
// they had, and go on when the control plane is gone.
func testADS(t *testing.T, e *env) {
	image, err := images.ADS(deadline(t, 5*time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	e.LoadImage(t, image.Name, image.Image)
	namespace := e.Namespace(t, map[string]string{istio.LabelInjection: "enabled"})
	e.apply(t, namespace, strings.ReplaceAll(controlPlane, "NAMESPACE", namespace))
	e.ready(t, namespace, "plane")
	w := &overPlane{env: e, t: t, namespace: namespace}
	w.set("1", "192.0.2.1", "192.0.2.2") // sidecars that start find something
	e.apply(t, namespace, appPod("client", overADS)+bill("bill-v1")+bill("bill-v2"))
	e.ready(t, namespace, "client", "bill-v1", "bill-v2")
	v1, v2 := e.pod(t, namespace, "bill-v1").Status.PodIP, e.pod(t, namespace, "bill-v2").Status.PodIP

	w.set("2", v1, v2)
	w.eventually("both versions answer", func(n map[string]int) bool { return n["bill-v1"] > 0 && n["bill-v2"] > 0 })
	if n := w.ask(150); n["bill-v1"] < 100 || n["bill-v2"] == 0 {
		t.Errorf("answers by version: %v, want 90 %% and 10 %%", n)
	}
	w.walk(v1)
	w.set("3", v2, v2)
	w.eventually("every answer is from where both versions are now", func(n map[string]int) bool { return n["bill-v1"] == 0 })

	w.set("4", v2, "not an address")
	eventually(t, time.Minute, func() error {
		if refused := w.refused(); !strings.Contains(refused, "not an address") {
			return fmt.Errorf("refused: %s, want why the endpoint is", refused)
		}
		return nil
	})
	e.must(t, "delete", "pod", "-n", namespace, "plane", "--grace-period=0", "--force", "--wait")
	if n := w.ask(20); n["bill-v2"] != 20 {
		t.Errorf("without a control plane the answers are %v", n)
	}
}

// bill is a pod of bill-service: port 80, so root.
func bill(name string) string {
	return strings.NewReplacer("args: [serve]", `args: [serve, ":80"]`, "runAsUser: 1000", "runAsUser: 0").Replace(appPod(name, overADS))
}

// overPlane is one control plane with the pods that ask it.
type overPlane struct {
	*env
	t         *testing.T
	namespace string
}

// set says what is served: where the two versions of bill-service are.
func (w *overPlane) set(version, v1, v2 string) {
	w.t.Helper()
	resources, err := plane.Walk(strings.NewReplacer("istio-demo", w.namespace, "PEER4", v1, "PEER6", v2))
	if err != nil {
		w.t.Fatal(err)
	}
	body, err := json.Marshal(resources)
	if err != nil {
		w.t.Fatal(err)
	}
	put := w.Client.CoreV1().RESTClient().Put().Namespace(w.namespace).Resource("pods").Name("plane:8080").SubResource("proxy").Suffix("resources")
	if out, err := put.Param("version", version).Body(body).DoRaw(deadline(w.t, 30*time.Second)); err != nil {
		w.t.Fatalf("setting version %s: %v: %s", version, err, out)
	}
}

func (w *overPlane) refused() string {
	w.t.Helper()
	get := w.Client.CoreV1().RESTClient().Get().Namespace(w.namespace).Resource("pods").Name("plane:8080").SubResource("proxy").Suffix("refused")
	out, err := get.DoRaw(deadline(w.t, 30*time.Second))
	if err != nil {
		w.t.Fatal(err)
	}
	return string(out)
}

// ask calls bill-service n times and counts answers by pod.
func (w *overPlane) ask(n int) map[string]int {
	w.t.Helper()
	counts := map[string]int{}
	for _, a := range w.get(w.t, w.namespace, "client", "http://bill-service."+w.namespace+".svc.cluster.local:9999/", n) {
		counts[a.Pod]++
	}
	return counts
}

// eventually asks until the answers are as wanted; while a version takes effect some may fail.
func (w *overPlane) eventually(what string, as func(map[string]int) bool) {
	w.t.Helper()
	url := "http://bill-service." + w.namespace + ".svc.cluster.local:9999/"
	args := append([]string{"exec", "-n", w.namespace, "client", "-c", "app", "--", "/usr/local/bin/app", "get"}, slices.Repeat([]string{url}, 60)...)
	eventually(w.t, time.Minute, func() error {
		out, err := w.kubectl.Run(deadline(w.t, time.Minute), args...)
		counts := map[string]int{"bill-v1": strings.Count(out, `"bill-v1"`), "bill-v2": strings.Count(out, `"bill-v2"`)}
		if err != nil || !as(counts) {
			return fmt.Errorf("want: %s; have %v, %w", what, counts, err)
		}
		return nil
	})
}

// walk follows a request by proxy-config, from the client to the server's application.
func (w *overPlane) walk(v1 string) {
	w.t.Helper()
	service := "bill-service." + w.namespace + ".svc.cluster.local"
	for _, c := range []struct{ args, want string }{
		{"listener client --port 15001", "PassthroughCluster"},
		{"listener client --port 9999", "Route: 9999"},
		{"route client --name 9999", "bill-service"},
		{"cluster client --fqdn " + service + " --subset v1", "EDS"},
		{"endpoint client --cluster outbound|9999|v1|" + service, net.JoinHostPort(v1, "80")},
		{"listener bill-v1 --port 15006", "Cluster: inbound|80||"},
		{"cluster bill-v1 --fqdn inbound|80||", "ORIGINAL_DST"},
	} {
		args := append([]string{"proxy-config", "-n", w.namespace}, strings.Fields(c.args)...)
		if out, code := w.pillion(w.t, args...); code != 0 || !strings.Contains(out, c.want) {
			w.t.Errorf("pillion %s: exit %d, no %q in\n%s", strings.Join(args, " "), code, c.want, out)
		}
	}
}
