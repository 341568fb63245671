package interop

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pillion-mesh/pillion/test/proxy/rig"
)

// TestSlowAnswers: fault's response_rate_limit has an answer take its time where a header asks for it, and says so.
func TestSlowAnswers(t *testing.T) {
	const rate, size = 20 << 10, 8 << 10
	settled := rig.Settled(t)
	t.Run("fault", func(t *testing.T) {
		backend := rig.Served(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, strings.Repeat("x", size)) })
		p := rig.Start(t, rig.To(backend, rig.JSON{"http_filters": []rig.JSON{
			{"name": "fault", "typed_config": rig.Typed("envoy.extensions.filters.http.fault.v3.HTTPFault", rig.JSON{
				"response_rate_limit": rig.JSON{"header_limit": rig.JSON{}, "percentage": rig.JSON{"numerator": 100}},
			})},
			{"name": "router", "typed_config": rig.Typed("envoy.extensions.filters.http.router.v3.Router", nil)},
		}}, nil))
		for _, version := range []int{1, 2} {
			request, err := http.NewRequest(http.MethodGet, "http://"+p.Address, nil)
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("X-Envoy-Fault-Throughput-Response", "20")
			began := time.Now()
			answer, err := rig.Client(t, version).Do(request)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(answer.Body)
			answer.Body.Close()
			if err != nil || len(body) != size {
				t.Errorf("HTTP/%d: %d bytes, %v", version, len(body), err)
			}
			if least := time.Second * size / rate / 2; time.Since(began) < least { // the beginning leaves at once
				t.Errorf("HTTP/%d: the answer took %v, at least it must %v", version, time.Since(began), least)
			}
		}
		if n := p.Stat("envoy_http_fault_response_rl_injected", nil); n != 2 {
			t.Errorf("%v slow answers were counted", n)
		}
		if n := p.Stat("envoy_http_fault_active_faults", nil); n != 0 {
			t.Errorf("%v faults are active", n)
		}
	})
	settled()
}
