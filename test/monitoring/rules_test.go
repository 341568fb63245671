package monitoring

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/storage"
	"sigs.k8s.io/yaml"
)

const config = "../../config/monitoring/"

// alert is a rule of a PrometheusRule.
type alert struct {
	Alert       string
	Expr        string
	For         string
	Labels      map[string]string
	Annotations map[string]string
}

func alerts(t *testing.T) map[string]alert {
	t.Helper()
	var object struct {
		Spec struct {
			Groups []struct{ Rules []alert }
		}
	}
	if err := yaml.Unmarshal(read(t, config+"rules.yaml"), &object); err != nil {
		t.Fatal(err)
	}
	all := map[string]alert{}
	for _, group := range object.Spec.Groups {
		for _, a := range group.Rules {
			all[a.Alert] = a
		}
	}
	return all
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// Samples are a minute apart and begin at Unix time 0, which is what time() says then; there are three hours of them.
const minutes = 180

// cases have, for each alert, series that raise it and series that don't.
var cases = []struct{ alert, raising, quiet string }{
	{"PillionOperatorAbsent", `other 1x180`, `pillion_serving_cert_not_after_seconds{kind="leaf",pod="a"} 90000x180`},
	{"PillionCABundleOutOfSync",
		`pillion_cabundle_in_sync{configuration="c",pod="a"} 1x180
		 pillion_cabundle_in_sync{configuration="c",pod="b"} 0x180`,
		`pillion_cabundle_in_sync{configuration="c",pod="a"} 1x60 0 1x120`}, // a wipe that is repaired
	{"PillionServingCertificateEnds",
		`pillion_serving_cert_not_after_seconds{kind="leaf",pod="a"} 11400x180`,
		`pillion_serving_cert_not_after_seconds{kind="leaf",pod="a"} 86400x180`},
	{"PillionServingCAEnds",
		`pillion_serving_cert_not_after_seconds{kind="active",pod="a"} 30000x180`,
		`pillion_serving_cert_not_after_seconds{kind="active",pod="a"} 60000x180`},
	{"PillionRotationStuck",
		`pillion_serving_cert_phase{phase="Promote",pod="a"} 1x180
		 pillion_serving_cert_phase{phase="Promote",pod="b"} 0x180`,
		`pillion_serving_cert_phase{phase="Promote",pod="a"} 0x10 1x20 0x150
		 pillion_serving_cert_phase{phase="Retire",pod="a"} 0x30 1x60 0x90`},
	{"PillionAPIServerRefusesCertificate",
		`pillion_tls_handshake_errors_total{reason="bad_certificate",pod="a"} 0+1x180`,
		`pillion_tls_handshake_errors_total{reason="bad_certificate",pod="a"} 0x30 1x150
		 pillion_tls_handshake_errors_total{reason="eof",pod="a"} 0+1x180`},
	{"PillionProbeFails",
		`pillion_serving_probe_total{result="timeout",pod="a"} 0+1x180
		 pillion_serving_probe_total{result="ok",pod="a"} 5x180`,
		`pillion_serving_probe_total{result="timeout",pod="a"} 0+1x180
		 pillion_serving_probe_total{result="ok",pod="a"} 0+1x180`},
	{"PillionInjectionErrors",
		`pillion_injection_requests_total{injector="default",decision="error",reason="internal"} 0x100 1x80`,
		`pillion_injection_requests_total{injector="default",decision="skip",reason="no-label"} 0+1x180`},
	{"PillionDegraded", `pillion_injector_degraded{injector="default",pod="a"} 1x180`, `pillion_injector_degraded{injector="default",pod="a"} 0x180`},
	{"PillionTemplatesBroken", `pillion_injector_templates_ready{injector="default",pod="a"} 0x180`, `pillion_injector_templates_ready{injector="default",pod="a"} 1x180`},
	{"PillionWebhookOutOfSync", `pillion_webhook_in_sync{configuration="c"} 0x180`, `pillion_webhook_in_sync{configuration="c"} 1x30 0x2 1x150`},
	{"PillionWebhookContested",
		`pillion_webhook_repairs_total{configuration="c",field="caBundle"} 0+1x180`,
		`pillion_webhook_repairs_total{configuration="c",field="caBundle"} 0x30 2x150`},
	{"PillionOperatorRestarts", `pillion_operator_restarts_total{pod="a"} 0x30 1x30 2x10 3x10 4x120`, `pillion_operator_restarts_total{pod="a"} 0x30 1x150`},
}

func TestAlerts(t *testing.T) {
	all := alerts(t)
	engine := promql.NewEngine(promql.EngineOpts{MaxSamples: 1e6, Timeout: time.Minute})
	for _, c := range cases {
		a, there := all[c.alert]
		if !there {
			t.Errorf("no rule %s", c.alert)
			continue
		}
		delete(all, c.alert)
		t.Run(c.alert, func(t *testing.T) {
			if !raised(t, engine, a, c.raising) {
				t.Errorf("not raised by\n%s", c.raising)
			}
			if raised(t, engine, a, c.quiet) {
				t.Errorf("raised by\n%s", c.quiet)
			}
		})
	}
	for name := range all {
		t.Errorf("rule %s has no case", name)
	}
}

// raised says whether the expression held for as long as the rule wants it to, looked at each minute.
func raised(t *testing.T, engine *promql.Engine, a alert, series string) bool {
	t.Helper()
	samples := promqltest.LoadedStorage(t, "load 1m\n  "+strings.ReplaceAll(series, "\n", "\n  "))
	defer samples.Close()
	var wanted time.Duration
	if a.For != "" {
		var err error
		if wanted, err = time.ParseDuration(a.For); err != nil {
			t.Fatal(err)
		}
	}
	since := -1
	for minute := range minutes {
		if !holds(t, engine, samples, a.Expr, minute) {
			since = -1
			continue
		}
		if since < 0 {
			since = minute
		}
		if time.Duration(minute-since)*time.Minute >= wanted {
			return true
		}
	}
	return false
}

func holds(t *testing.T, engine *promql.Engine, storage storage.Queryable, expr string, minute int) bool {
	t.Helper()
	query, err := engine.NewInstantQuery(context.Background(), storage, nil, expr, time.Unix(int64(minute)*60, 0))
	if err != nil {
		t.Fatal(err)
	}
	defer query.Close()
	vector, err := query.Exec(context.Background()).Vector()
	if err != nil {
		t.Fatal(err)
	}
	return len(vector) > 0
}

func TestAlertsSayWhatToDo(t *testing.T) {
	for name, a := range alerts(t) {
		if a.Labels["severity"] != "critical" && a.Labels["severity"] != "warning" {
			t.Errorf("%s: severity %q: want critical or warning", name, a.Labels["severity"])
		}
		for _, key := range []string{"summary", "action"} {
			if len(a.Annotations[key]) < 20 {
				t.Errorf("%s: annotation %s says nothing", name, key)
			}
		}
	}
}

var metricName = regexp.MustCompile(`pillion_[a-z_]+`)

// TestMetricsExist: a rule about a metric that was renamed never fires.
func TestMetricsExist(t *testing.T) {
	known := knownMetrics(t)
	for _, file := range []string{"rules.yaml", "dashboard.json"} {
		named := metricName.FindAllString(string(read(t, config+file)), -1)
		if len(named) < 10 {
			t.Errorf("%s names %d metrics: this test would prove little", file, len(named))
		}
		for _, name := range named {
			if !known[strings.TrimSuffix(name, "_bucket")] {
				t.Errorf("%s names %s, which the operator hasn't", file, name)
			}
		}
	}
}

// knownMetrics finds metrics by their names in the source: to register them all would take an operator.
func knownMetrics(t *testing.T) map[string]bool {
	t.Helper()
	known := map[string]bool{}
	for _, folder := range []string{"internal/controller", "internal/cmd/pillion", "webhook"} {
		err := filepath.WalkDir(filepath.Join("../..", folder), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			for _, name := range metricName.FindAllString(string(read(t, path)), -1) {
				known[name] = true
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return known
}

// TestQueriesOfTheDashboardParse: Grafana only shows an empty panel.
func TestQueriesOfTheDashboardParse(t *testing.T) {
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := yaml.Unmarshal(read(t, config+"dashboard.json"), &dashboard); err != nil {
		t.Fatal(err)
	}
	engine := promql.NewEngine(promql.EngineOpts{MaxSamples: 1e6, Timeout: time.Minute})
	samples := promqltest.LoadedStorage(t, "load 1m\n  other 1x10")
	defer samples.Close()
	queries := 0
	for _, panel := range dashboard.Panels {
		for _, target := range panel.Targets {
			queries++
			if _, err := engine.NewInstantQuery(context.Background(), samples, nil, target.Expr, time.Unix(60, 0)); err != nil {
				t.Errorf("panel %q: %v", panel.Title, err)
			}
		}
	}
	if queries < 10 {
		t.Errorf("%d queries: this test would prove little", queries)
	}
}
