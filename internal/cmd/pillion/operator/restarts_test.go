package operator

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/yaml"

	"github.com/pillion-mesh/pillion/internal/controller/events"
	"github.com/pillion-mesh/pillion/internal/supervisor"
)

func TestRestartsAreTold(t *testing.T) {
	for _, c := range []struct {
		deaths supervisor.Deaths
		events int
	}{
		{supervisor.Deaths{}, 0},
		{supervisor.Deaths{Count: 3, Last: "signal: killed"}, 1},
	} {
		var told []events.Event
		o := Defaults()
		o.PodName, o.PodUID, o.Restarts, o.LastEnd = "pillion-0", "u1", c.deaths.Count, c.deaths.Last
		metrics := prometheus.NewRegistry()
		if err := o.tellRestarts(func(e events.Event) { told = append(told, e) }, metrics, logr.Discard()); err != nil {
			t.Fatal(err)
		}
		if len(told) != c.events {
			t.Fatalf("%+v: Events %+v", c.deaths, told)
		}
		if c.events > 0 && (told[0].Object.Name != "pillion-0" || told[0].Object.UID != "u1" || told[0].Reason != "OperatorRestarted" ||
			!strings.Contains(told[0].Message, c.deaths.Last) || !strings.Contains(told[0].Message, "3 times")) {
			t.Errorf("%+v", told[0])
		}
		families, err := metrics.Gather()
		if err != nil || len(families) != 1 || families[0].GetMetric()[0].GetCounter().GetValue() != float64(c.deaths.Count) {
			t.Errorf("metrics: %v, %v", families, err)
		}
	}
}

// TestGracePeriodSuffices: the kubelet's SIGKILL comes after everything had its time, with two seconds to spare for the
// parent, which waits one, and the container's runtime.
func TestGracePeriodSuffices(t *testing.T) {
	text, err := os.ReadFile("../../../../config/manager/deployment.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var deployment appsv1.Deployment
	if err := yaml.Unmarshal(text, &deployment); err != nil {
		t.Fatal(err)
	}
	grace := time.Duration(*deployment.Spec.Template.Spec.TerminationGracePeriodSeconds) * time.Second
	if need := Defaults().endsWithin() + 2*time.Second; grace < need {
		t.Errorf("terminationGracePeriodSeconds is %s, want at least %s", grace, need)
	}
	slow := Options{} // no drain: the manager's end is what takes time
	if least := managerGrace + renewDeadline + requestPatience; slow.endsWithin() < least {
		t.Errorf("a supervisor that waits %s kills a child whose manager may take that long", slow.endsWithin())
	}
}
