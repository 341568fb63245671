package install

import (
	"context"
	"fmt"
	"maps"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/pillion-mesh/pillion/internal/istio"
)

// Metrics are the families of one scrape.
type Metrics map[string]*dto.MetricFamily

// ProxyMetrics scrapes the proxy of a pod (port 15090) through the API server.
func (k Kubectl) ProxyMetrics(ctx context.Context, namespace, pod string) (Metrics, error) {
	return k.scrape(ctx, fmt.Sprintf("/api/v1/namespaces/%s/pods/%s:%d/proxy%s", namespace, pod, istio.PortProxyStats, istio.PathPrometheus))
}

// OperatorMetrics scrapes a replica of the operator (port 15014), likewise.
func (k Kubectl) OperatorMetrics(ctx context.Context, pod string) (Metrics, error) {
	return k.scrape(ctx, fmt.Sprintf("/api/v1/namespaces/%s/pods/%s:%d/proxy/metrics", Namespace, pod, istio.PortOperatorOps))
}

func (k Kubectl) scrape(ctx context.Context, path string) (Metrics, error) {
	text, err := k.Run(ctx, "get", "--raw", path)
	if err != nil {
		return nil, err
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("reading the metrics at %s: %w", path, err)
	}
	return Metrics(maps.Clone(families)), nil
}

// Sum adds up the samples of a counter or gauge that have all of these labels.
func (m Metrics) Sum(name string, labels map[string]string) float64 {
	var sum float64
	for _, metric := range m[name].GetMetric() {
		if hasLabels(metric, labels) {
			sum += metric.GetCounter().GetValue() + metric.GetGauge().GetValue() + metric.GetUntyped().GetValue()
		}
	}
	return sum
}

func hasLabels(metric *dto.Metric, want map[string]string) bool {
	found := 0
	for _, pair := range metric.GetLabel() {
		if value, ok := want[pair.GetName()]; ok && value == pair.GetValue() {
			found++
		}
	}
	return found == len(want)
}
