package route

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

func list(f *stream.Fields) string {
	text := ""
	for i := range f.Len() {
		text += f.At(i).Name + "=" + f.At(i).Value + " "
	}
	return text
}

func add(name, value string, action config.AppendAction) config.HeaderAdd {
	return config.HeaderAdd{Name: name, Value: &config.Format{Source: value}, Action: action}
}

func TestAppendActions(t *testing.T) {
	for i, c := range []struct {
		op   config.HeaderAdd
		want string
	}{
		{add("a", "2", config.AppendOrAdd), "a=1 b=1 a=2 "},
		{add("c", "2", config.AppendOrAdd), "a=1 b=1 c=2 "},
		{add("a", "2", config.AddIfAbsent), "a=1 b=1 "},
		{add("c", "2", config.AddIfAbsent), "a=1 b=1 c=2 "},
		{add("a", "2", config.OverwriteOrAdd), "a=2 b=1 "},
		{add("c", "2", config.OverwriteOrAdd), "a=1 b=1 c=2 "},
		{add("a", "2", config.OverwriteIfPresent), "a=2 b=1 "},
		{add("c", "2", config.OverwriteIfPresent), "a=1 b=1 "},
		{add("a", "%REQ(b)%-%PROTOCOL%-100%%", config.OverwriteOrAdd), "a=1-HTTP/1.1-100% b=1 "},
		{add("c", "%REQ(none)%", config.OverwriteOrAdd), "a=1 b=1 "},
		{config.HeaderAdd{Name: "c", Value: &config.Format{Source: ""}, KeepEmpty: true}, "a=1 b=1 c= "},
		{add("c", "", config.AppendOrAdd), "a=1 b=1 "},
		{add("host", "other", config.OverwriteOrAdd), "a=1 b=1 "},
		{add(":path", "/other", config.AppendOrAdd), "a=1 b=1 "},
	} {
		x := request("GET h /", "a: 1", "b: 1")
		x.Protocol = stream.HTTP11
		CompileOps(&config.HeaderOps{Add: []config.HeaderAdd{c.op}}).ApplyRequest(x)
		if got := list(&x.Request.Fields); got != c.want {
			t.Errorf("%d: %s, want %s", i, got, c.want)
		}
		if c.op.Name == "host" && x.Request.Authority != "other" || c.op.Name == ":path" && x.Request.Path != "/other" {
			t.Errorf("%d: %+v", i, x.Request)
		}
	}
}

func TestRemovals(t *testing.T) {
	x := request("GET h /p", "a: 1", "b: 1", "a: 2")
	ops := CompileOps(&config.HeaderOps{Remove: []string{"a", "host", ":path", ":method"}, Add: []config.HeaderAdd{
		add("a", "3", config.AddIfAbsent), add("old-b", "%REQ(b)%", config.AppendOrAdd), add("b", "2", config.OverwriteOrAdd),
		add("new-b", "%REQ(b)%", config.AppendOrAdd),
	}})
	ops.ApplyRequest(x)
	if got := list(&x.Request.Fields); got != "b=2 a=3 old-b=1 new-b=1 " {
		t.Error(got)
	}
	if x.Request.Authority != "h" || x.Request.Path != "/p" || x.Request.Method != http.MethodGet {
		t.Errorf("%+v", x.Request)
	}
	x.Response.Fields.Add("a", "1")
	x.Response.Status = 200
	CompileOps(&config.HeaderOps{Remove: []string{":status"}, Add: []config.HeaderAdd{add(":status", "500", 0), add("s", "%RESPONSE_CODE%", 0)}}).ApplyResponse(x)
	if got := list(&x.Response.Fields); got != "a=1 s=200 " {
		t.Error(got)
	}
}

// leveled is a table whose four levels all write x-level.
func leveled(mostSpecificWins bool) (*Index, *stream.Exchange) {
	op := func(level string) config.HeaderOps {
		return config.HeaderOps{Add: []config.HeaderAdd{add("x-level", level, config.AppendOrAdd), add("x-last", level, config.OverwriteOrAdd)}}
	}
	w := config.WeightedCluster{Name: "w", Weight: 1, RequestHeaders: op("cluster"), ResponseHeaders: op("cluster")}
	v := &config.VirtualHost{Domains: []string{"*"}, RequestHeaders: op("host"), ResponseHeaders: op("host"), Routes: []*config.Route{{
		Match: config.RouteMatch{Path: "/"}, RequestHeaders: op("route"), ResponseHeaders: op("route"),
		Forward: &config.Forward{Weighted: []config.WeightedCluster{w}, TotalWeight: 1},
	}}}
	index := NewIndex(&config.RouteTable{
		VirtualHosts: []*config.VirtualHost{v}, RequestHeaders: op("table"), ResponseHeaders: op("table"), MostSpecificWins: mostSpecificWins,
	})
	x := request("GET h /")
	x.VirtualHost, x.Route = index.Match(x, 0, nil)
	x.ClusterName, x.Weighted = Choose(x.Route.Forward, x, 0, nil)
	return index, x
}

func TestLevels(t *testing.T) {
	for wins, want := range map[bool]string{
		false: "x-level=cluster x-last=table x-level=route x-level=host x-level=table ",
		true:  "x-level=table x-last=cluster x-level=host x-level=route x-level=cluster ",
	} {
		index, x := leveled(wins)
		index.RequestHeaders(x)
		index.ResponseHeaders(x)
		if got := list(&x.Request.Fields); got != want {
			t.Errorf("request, %v: %s", wins, got)
		}
		if got := list(&x.Response.Fields); got != want {
			t.Errorf("response, %v: %s", wins, got)
		}
	}
	index, x := leveled(false)
	x.Route = nil
	index.ResponseHeaders(x)
	if x.Response.Fields.Len() != 0 {
		t.Error("an answer without a route got fields")
	}
}

func TestLiteralsAllocateNothing(t *testing.T) {
	index, x := leveled(false)
	index.RequestHeaders(x)
	n := testing.AllocsPerRun(100, func() {
		x.Request.Fields.Clear()
		x.Response.Fields.Clear()
		index.RequestHeaders(x)
		index.ResponseHeaders(x)
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestChoose(t *testing.T) {
	f := &config.Forward{TotalWeight: 100, Weighted: []config.WeightedCluster{{Name: "a", Weight: 90}, {Name: "none"}, {Name: "b", Weight: 10}}}
	count := map[string]int{}
	for i := range uint64(1000) {
		name, w := Choose(f, request("GET h /"), i<<32|i, nil)
		if w == nil || w.Name != name {
			t.Fatalf("%s: %+v", name, w)
		}
		count[name]++
	}
	if count["a"] != 900 || count["b"] != 100 {
		t.Errorf("%v", count)
	}
	f.WeightHeader = "x-dice"
	for dice, want := range map[string]string{"89": "a", "90": "b", "199": "b", "text": "a"} {
		if name, _ := Choose(f, request("GET h /", "x-dice: "+dice), 95<<32, nil); name != want {
			t.Errorf("%s: %s", dice, name)
		}
	}
	if name, _ := Choose(f, request("GET h /"), 95<<32, nil); name != "b" {
		t.Errorf("without the header: %s", name)
	}
	f = &config.Forward{ClusterHeader: "x-cluster"}
	tr := &stream.Trace{}
	if name, _ := Choose(f, request("GET h /", "x-cluster: c"), 0, tr); name != "c" || fmt.Sprint(tr.Steps) != `[{cluster "c": by header x-cluster}]` {
		t.Errorf("%s %v", name, tr.Steps)
	}
	if name, _ := Choose(f, request("GET h /"), 0, nil); name != "" {
		t.Errorf("no header: %s", name)
	}
}

func TestRuntimeFraction(t *testing.T) {
	v := virtualHost("v", "*")
	v.Routes = append([]*config.Route{{Name: "some", Match: config.RouteMatch{
		Path: "/", Fraction: &config.Fraction{Key: "k", PerMillion: 300_000},
	}}}, v.Routes...)
	index := NewIndex(&config.RouteTable{VirtualHosts: []*config.VirtualHost{v}})
	for chance, want := range map[uint64]string{0: "some", 299_999: "some", 300_000: "all", 999_999: "all", 1_000_000: "some"} {
		if _, r := index.Match(request("GET h /"), chance, nil); r.Name != want {
			t.Errorf("%d: %s", chance, r.Name)
		}
	}
	index.Runtime = func(key string) (uint32, bool) { return 1_000_000, key == "k" }
	if _, r := index.Match(request("GET h /"), 999_999, nil); r.Name != "some" {
		t.Errorf("with a runtime key: %s", r.Name)
	}
}
