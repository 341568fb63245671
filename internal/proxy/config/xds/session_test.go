package xds

import (
	"reflect"
	"strings"
	"testing"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

const (
	sessions   = "envoy.extensions.http.stateful_session."
	cookieKind = sessions + "cookie.v3.CookieBasedSessionState"
	headerKind = sessions + "header.v3.HeaderBasedSessionState"
)

func sessionState(kind, fields string) string {
	return `session_state: {name: s, typed_config: {"@type": type.googleapis.com/` + kind + `, ` + fields + `}}`
}

func TestStatefulSession(t *testing.T) {
	for name, c := range map[string]struct {
		fields string
		want   config.StatefulSession
		err    string
	}{
		"nothing": {fields: "strict: true", want: config.StatefulSession{Strict: true}},
		"cookie": {fields: sessionState(cookieKind, "cookie: {name: c, path: /p, ttl: 90s, attributes: [{name: SameSite, value: Lax}, {name: Secure}]}"), want: config.StatefulSession{
			Cookie: &config.SessionCookie{Name: "c", Path: "/p", TTL: 90e9, Attributes: [][2]string{{"SameSite", "Lax"}, {"Secure", ""}}},
		}},
		"header": {fields: sessionState(headerKind, "name: X-Session") + ", strict: true, stat_prefix: p, status_on_strict_destination_not_found: 404", want: config.StatefulSession{
			Header: "x-session", Strict: true, StatPrefix: "p", NotFound: 404,
		}},
		"cookie without name": {fields: sessionState(cookieKind, "cookie: {path: /}"), err: "session_state.cookie.name (s): empty"},
		"no cookie":           {fields: sessionState(cookieKind, ""), err: "session_state.cookie.name (s): empty"},
		"header without name": {fields: sessionState(headerKind, ""), err: "session_state.name (s): empty"},
		"envelope":            {fields: sessionState(sessions+"envelope.v3.EnvelopeSessionState", "header: {name: x}"), err: "session_state (s): not supported"},
		"status":              {fields: "status_on_strict_destination_not_found: 99", err: "status_on_strict_destination_not_found (f): 99 is not between 200 and 599"},
	} {
		t.Run(name, func(t *testing.T) {
			l, needs, err := Listener(listenerYAML(t, filtersOf(httpFilterOf("f", h+"stateful_session.v3.StatefulSession", c.fields))), nil)
			if err != nil || c.err != "" {
				if err == nil || c.err == "" || !strings.Contains(err.Error(), c.err) {
					t.Errorf("%v, want %q", err, c.err)
				}
				return
			}
			if got := l.Chains[0].HTTP.Filters[0].Config; !reflect.DeepEqual(got, &c.want) || len(needs.Notes) > 0 {
				t.Errorf("%+v, %v", got, needs.Notes)
			}
		})
	}
}

func TestStatefulSessionOfRoutes(t *testing.T) {
	for fields, want := range map[string]any{
		"disabled: true":                   config.Override{Disabled: true},
		"stateful_session: {strict: true}": config.Override{Config: &config.StatefulSession{Strict: true}},
		"disabled: false":                  "disabled (v): must be true",
		"":                                 "(v): neither disabled nor stateful_session",
	} {
		v, _, err := Routes(routesYAML(t, hostOf(`{match: {prefix: /}, route: {cluster: c}, typed_per_filter_config: {f: {"@type": type.googleapis.com/`+h+`stateful_session.v3.StatefulSessionPerRoute, `+fields+`}}}`)))
		if reason, refused := want.(string); refused {
			if err == nil || !strings.Contains(strings.ReplaceAll(err.Error(), "(f)", "(v)"), reason) {
				t.Errorf("%s: %v", fields, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if got := v.VirtualHosts[0].Routes[0].Overrides["f"]; !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v", fields, got)
		}
	}
}

func TestOverrideHostStatus(t *testing.T) {
	for fields, want := range map[string]string{
		"": "UNKNOWN HEALTHY DEGRADED", "override_host_status: {}": "",
		"override_host_status: {statuses: [DRAINING, HEALTHY, TIMEOUT, UNHEALTHY]}": "HEALTHY UNHEALTHY DRAINING TIMEOUT",
	} {
		c, _, err := Cluster(clusterYAML(t, clusterOf("common_lb_config: {"+fields+"}")), nil)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for i, name := range []string{"UNKNOWN", "HEALTHY", "UNHEALTHY", "DRAINING", "TIMEOUT", "DEGRADED"} {
			if c.LB.Overridable.Has(uint8(i)) {
				got = append(got, name)
			}
		}
		if strings.Join(got, " ") != want || c.LB.Overridable.Has(200) {
			t.Errorf("%s: %v", fields, got)
		}
	}
	if _, _, err := Cluster(clusterYAML(t, clusterOf("common_lb_config: {override_host_status: {statuses: [9]}}")), nil); err == nil {
		t.Error("an unknown status was taken")
	}
}

func TestPreviousPriorities(t *testing.T) {
	of := func(fields string) string {
		return hostOf(`{match: {prefix: /}, route: {cluster: c, retry_policy: {retry_priority: {name: p, typed_config: {"@type": type.googleapis.com/` + previousPrioritiesType + `, ` + fields + `}}}}}`)
	}
	v, _, err := Routes(routesYAML(t, of("update_frequency: 3")))
	if err != nil || v.VirtualHosts[0].Routes[0].Forward.Retry.PreviousPriorities != 3 {
		t.Error(err)
	}
	if _, _, err = Routes(routesYAML(t, of(""))); err == nil || !strings.Contains(err.Error(), "retry_priority.update_frequency (p): 0 is not above zero") {
		t.Error(err)
	}
}
