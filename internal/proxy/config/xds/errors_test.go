package xds

import (
	"fmt"
	"strings"
	"testing"
)

func TestMessage(t *testing.T) {
	a := &Error{Kind: "listener", Name: "0.0.0.0_9999", Problems: []Problem{{"filter_chains[1].filters[0].http_filters[3] (envoy.filters.http.lua)", "not supported"}, {"", "bad"}}}
	b := &Error{Kind: "cluster", Name: "c", Problems: []Problem{{"name", "empty"}}, Lost: 2}
	want := `listener "0.0.0.0_9999": filter_chains[1].filters[0].http_filters[3] (envoy.filters.http.lua): not supported; listener "0.0.0.0_9999": bad; cluster "c": name: empty… and 2 more`
	if got := Message([]*Error{a, b}); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestMessageIsBounded(t *testing.T) {
	var errs []*Error
	for i := range 1000 {
		errs = append(errs, &Error{Kind: "cluster", Name: fmt.Sprint(i), Problems: []Problem{{"name", strings.Repeat("x", 90)}}})
	}
	got := Message(errs)
	shown := strings.Count(got, "; ") + 1
	if !strings.HasSuffix(got, fmt.Sprintf("… and %d more", 1000-shown)) || len(got) > maxMessage+20 || len(got) < maxMessage-200 {
		t.Errorf("%d shown in %d bytes: …%s", shown, len(got), got[len(got)-30:])
	}
	long := &Error{Kind: "cluster", Name: strings.Repeat("é", 5000), Problems: []Problem{{"a", "b"}, {"c", "d"}}}
	if got := long.Error(); len(got) > maxMessage+20 || !strings.HasSuffix(got, "… and 1 more") {
		t.Errorf("%d bytes: …%s", len(got), got[len(got)-30:])
	}
}

// TestMessageOfAResource is the example of the specification, decoded.
func TestMessageOfAResource(t *testing.T) {
	lua := httpFilterOf("envoy.filters.http.lua", h+"lua.v3.Lua", "")
	text := strings.Replace(filtersOf(httpFilterOf("c", h+"cors.v3.Cors", "")+lua), "filter_chains: [", "filter_chains: [{filter_chain_match: {destination_port: 7}, "+tcpChain[1:]+", ", 1)
	_, _, err := Listener(listenerYAML(t, text), nil)
	want := `listener "l": filter_chains[1].filters[0].http_filters[1] (envoy.filters.http.lua): not supported`
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	if _, _, err = Cluster([]byte("\x0a\x01c\xff"), nil); err == nil || !strings.HasPrefix(err.Error(), `cluster "c": not a envoy.config.cluster.v3.Cluster: `) {
		t.Error(err)
	}
}
