package source

import (
	"strings"
	"testing"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/xdsclient"
)

// TestWarmingOrder: what isn't whole doesn't serve, and what is changed serves as it was until its successor is whole.
func TestWarmingOrder(t *testing.T) {
	s, ads, _ := toySource(t)
	push(t, ads, clusters, "1", toy(clusters, "c", "eds:e"))
	if push(t, ads, listeners, "1", toy(listeners, "l", "route:r at:10.0.0.1:80")); s.Ready() || s.Runtime().Load().Cluster("c") != nil {
		t.Fatal("ready without endpoints and routes")
	}
	push(t, ads, endpoints, "1", toy(endpoints, "e", ""))
	if s.Ready() || s.tables[clusters]["c"].active == nil {
		t.Fatal("the cluster has its endpoints, the listener has no routes yet")
	}
	push(t, ads, routes, "1", toy(routes, "r", "to:c"))
	r := s.Runtime().Load()
	if !s.Ready() || r.Cluster("c") == nil || r.Listener("l") == nil {
		t.Fatal("not ready though all is there")
	}
	if r.Listener("l").Chains[0].HTTP.Routes.Load() == nil || r.Cluster("c").Endpoints.Load().Version != "1" || !r.Cluster("c").ViaAPI {
		t.Fatal("cells are empty")
	}
	push(t, ads, listeners, "2", toy(listeners, "l", "route:r2 at:10.0.0.1:80"))
	if now := s.Runtime().Load().Listener("l"); now.Chains[0].HTTP.RouteName != "r" {
		t.Fatal("the listener was changed before its new routes came")
	}
	push(t, ads, routes, "2", toy(routes, "r2", "to:c"))
	if now := s.Runtime().Load().Listener("l"); now.Chains[0].HTTP.RouteName != "r2" {
		t.Fatal("the listener wasn't changed")
	}
	if _, kept := s.tables[routes]["r"]; kept {
		t.Error("routes that nothing names are kept")
	}
}

func TestChangedClusterReusesEndpoints(t *testing.T) {
	s, ads, _ := toySource(t)
	push(t, ads, clusters, "1", toy(clusters, "c", "eds:e"))
	push(t, ads, listeners, "1")
	push(t, ads, endpoints, "1", toy(endpoints, "e", ""))
	before := s.Runtime().Load()
	push(t, ads, clusters, "2", toy(clusters, "c", "eds:e other"))
	after := s.Runtime().Load()
	if after == before || after.Cluster("c") == before.Cluster("c") || after.Cluster("c").Endpoints != before.Cluster("c").Endpoints {
		t.Error("the changed cluster should be in use at once, with the endpoints it had")
	}
}

// TestEndpointsSwapAlone: neither Runtime nor cluster changes.
func TestEndpointsSwapAlone(t *testing.T) {
	s, ads, _ := toySource(t)
	push(t, ads, clusters, "1", toy(clusters, "c", "eds:e"))
	push(t, ads, listeners, "1")
	push(t, ads, endpoints, "1", toy(endpoints, "e", ""))
	before := s.Runtime().Load()
	push(t, ads, endpoints, "2", toy(endpoints, "e", "more"))
	if s.Runtime().Load() != before || before.Cluster("c").Endpoints.Load().Version != "2" {
		t.Error("endpoints should change in their cell alone")
	}
}

func TestFetchTimeout(t *testing.T) {
	s, ads, clock := toySource(t)
	push(t, ads, clusters, "1", toy(clusters, "c", "eds:e wait"))
	push(t, ads, listeners, "1", toy(listeners, "l", "route:r"))
	clock.now = clock.now.Add(time.Minute - 1)
	if s.expire(); s.tables[clusters]["c"].active != nil {
		t.Fatal("too early")
	}
	clock.now = clock.now.Add(1)
	if s.expire(); s.tables[clusters]["c"].active == nil {
		t.Fatal("a cluster waits no longer than initial_fetch_timeout")
	}
	clock.now = clock.now.Add(1000 * time.Hour)
	if s.expire(); s.Ready() {
		t.Fatal("0 waits for ever")
	}
}

func TestRefusedKeepsLastGood(t *testing.T) {
	s, ads, _ := toySource(t)
	push(t, ads, clusters, "1", toy(clusters, "a", ""), toy(clusters, "b", ""))
	push(t, ads, listeners, "1")
	nack := push(t, ads, clusters, "2", toy(clusters, "a", "bad"), toy(clusters, "b", "new"), toy(clusters, "c", "bad"))
	if want := `cluster "a": bad; cluster "c": bad`; nack != want {
		t.Errorf("NACK %q, want %q", nack, want)
	}
	if e := s.tables[clusters]["a"]; e.active.text != "1" || e.refused.text != "2" {
		t.Errorf("a is at %q", e.active.text)
	}
	if s.tables[clusters]["b"].active.text != "2" || s.Runtime().Load().Cluster("c") != nil || s.Runtime().Load().Cluster("a") == nil {
		t.Error("good resources of a bad response are applied, bad ones aren't")
	}
	if held := ads.Held(xdsclient.TypeCluster); len(held) != 2 || held["a"] != "1" || held["b"] != "2" {
		t.Errorf("held %v", held)
	}
	if push(t, ads, clusters, "3", toy(clusters, "a", "good")) != "" || s.tables[clusters]["a"].refused != nil {
		t.Error("a good version ends the error")
	}
	if errs := s.Errors(); len(errs) != 1 || errs[0].Name != "c" || errs[0].Reason != `cluster "c": bad` {
		t.Errorf("errors %v", errs)
	}
}

func TestUnchangedIsNotDecoded(t *testing.T) {
	s, ads, _ := toySource(t)
	decoded := 0
	s.opts.Decode.Cluster = func(raw []byte, cells xdsCells) (*config.Cluster, xdsNeeds, error) {
		decoded++
		return toyCluster(raw, cells)
	}
	for version := range 3 {
		push(t, ads, clusters, strings.Repeat("v", version+1), toy(clusters, "a", "x"))
		if nack := push(t, ads, clusters, "b", toy(clusters, "b", "bad")); nack != `cluster "b": bad` {
			t.Errorf("NACK %q", nack)
		}
	}
	if decoded != 2 || s.tables[clusters]["a"].active.text != "vvv" {
		t.Errorf("decoded %d times, version %q", decoded, s.tables[clusters]["a"].active.text)
	}
}

// TestRemovedClusterStays until neither listeners nor routes name it.
func TestRemovedClusterStays(t *testing.T) {
	s, ads, _ := toySource(t)
	push(t, ads, clusters, "1", toy(clusters, "c", "eds:c"), toy(clusters, "d", ""), toy(clusters, "unnamed", ""))
	push(t, ads, endpoints, "1", toy(endpoints, "c", ""))
	push(t, ads, listeners, "1", toy(listeners, "l", "route:r"), toy(listeners, "m", "to:d"))
	push(t, ads, routes, "1", toy(routes, "r", "to:c"))
	withdraw(t, ads, clusters, "c", "d", "unnamed")
	r := s.Runtime().Load()
	if r.Cluster("c") == nil || r.Cluster("d") == nil || r.Cluster("unnamed") != nil {
		t.Fatal("named clusters stay, others go")
	}
	if held := ads.Held(xdsclient.TypeCluster); len(held) != 0 {
		t.Errorf("removed clusters are claimed to be held: %v", held)
	}
	if push(t, ads, routes, "2", toy(routes, "r", "")); s.Runtime().Load().Cluster("c") != nil || len(s.tables[endpoints]) != 0 {
		t.Error("no route names c any more")
	}
	if withdraw(t, ads, listeners, "m"); s.Runtime().Load().Cluster("d") != nil {
		t.Error("no listener names d any more")
	}
}

func TestCompleteRemoves(t *testing.T) {
	s, ads, _ := toySource(t, toy(clusters, "static", ""))
	push(t, ads, clusters, "1", toy(clusters, "a", ""), toy(clusters, "b", ""))
	push(t, ads, listeners, "1")
	if err := ads.Apply(xdsclient.Response{Type: xdsclient.TypeCluster, Complete: true, Resources: []xdsclient.Resource{toy(clusters, "b", "")}}); err != nil {
		t.Fatal(err)
	}
	r := s.Runtime().Load()
	if r.Cluster("a") != nil || r.Cluster("b") == nil || r.Cluster("static") == nil {
		t.Error("absence removes what came the same way, nothing else")
	}
}

func TestStaticStays(t *testing.T) {
	s, ads, _ := toySource(t, toy(clusters, "static", "mine"))
	push(t, ads, clusters, "1", toy(clusters, "static", "theirs"))
	push(t, ads, listeners, "1")
	if e := s.tables[clusters]["static"]; !e.static() || s.Runtime().Load().Cluster("static").ViaAPI {
		t.Error("a static cluster was replaced")
	}
}

func TestDuplicates(t *testing.T) {
	s, ads, _ := toySource(t)
	push(t, ads, listeners, "1")
	nack := push(t, ads, clusters, "1", toy(clusters, "a", "1"), toy(clusters, "b", ""), toy(clusters, "a", "2"))
	if nack != `cluster "a": named twice in one response` || s.Runtime().Load().Cluster("a") != nil || s.Runtime().Load().Cluster("b") == nil {
		t.Errorf("NACK %q", nack)
	}
}

func TestAddressIsTaken(t *testing.T) {
	s, ads, _ := toySource(t)
	push(t, ads, clusters, "1")
	nack := push(t, ads, listeners, "1", toy(listeners, "a", "at:10.0.0.1:80"), toy(listeners, "b", "at:10.0.0.1:80"))
	if nack != `listener "b": address 10.0.0.1:80 is taken by listener "a"` {
		t.Fatalf("NACK %q", nack)
	}
	if withdraw(t, ads, listeners, "a"); s.Runtime().Load().Listener("b") == nil || len(s.Errors()) != 0 {
		t.Error("b can have the address now")
	}
}

func TestStaticSource(t *testing.T) {
	s := Static(config.Settings{}, Options{})
	if !s.Ready() || s.Runtime().Load().Listener(config.VirtualOutbound) == nil {
		t.Error("not what config.Static makes")
	}
}

func TestWrongType(t *testing.T) {
	_, ads, _ := toySource(t)
	r := toy(listeners, "a", "")
	r.Type = "type.googleapis.com/x.Y"
	if nack := push(t, ads, listeners, "1", r); nack != `listener "a": is of type type.googleapis.com/x.Y` {
		t.Errorf("NACK %q", nack)
	}
}
