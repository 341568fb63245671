package grpcstats

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter/filter"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
	"github.com/pillion-mesh/pillion/internal/proxy/telemetry"
)

func call(path string) *stream.Exchange {
	x := &stream.Exchange{Conn: &stream.Conn{ID: 5}, ClusterName: "c", GRPC: true, GRPCStatus: -1}
	x.Request.Path = path
	return x
}

// total are the names under which calls were counted.
func total(t *testing.T, s *telemetry.Store) string {
	t.Helper()
	var b strings.Builder
	if err := s.WriteText(&b, telemetry.Process{}, telemetry.Query{UsedOnly: true}); err != nil {
		t.Fatal(err)
	}
	var list []string
	for line := range strings.Lines(b.String()) {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), "cluster.c.grpc."); ok && (strings.Contains(rest, "total") || strings.Contains(rest, "over") || strings.Contains(rest, "upstream_rq_time")) {
			list = append(list, strings.Fields(rest)[0])
		}
	}
	return strings.Join(list, " ")
}

func TestNames(t *testing.T) {
	some := map[string]bool{"/a.B/C": true}
	for i, c := range []struct {
		config config.GRPCStats
		path   string
		want   string
	}{
		{config.GRPCStats{}, "/a.B/C", "total:"}, {config.GRPCStats{}, "nonsense", "total:"},
		{config.GRPCStats{Methods: some}, "/a.B/C?q", "a.B.C.total:"}, {config.GRPCStats{Methods: some}, "/a.B/D", "total:"},
		{config.GRPCStats{All: true}, "/a.B/C", "a.B.C.total:"}, {config.GRPCStats{All: true}, "/a.B", ""}, {config.GRPCStats{All: true}, "/a/b/c", ""}, {config.GRPCStats{All: true}, "//", ""},
		{config.GRPCStats{All: true, ReplaceDots: true}, "/a.B/C.D", "a_B.C.D.total:"},
		{config.GRPCStats{All: true}, "/a%20b/\"", "pillion_methods_over: total:"},
		{config.GRPCStats{Times: true}, "/a.B/C", "total: upstream_rq_time:"},
	} {
		store := telemetry.NewStore(0, telemetry.Labels{})
		f, err := New(&c.config, filter.Deps{Cluster: store.Cluster})
		if err != nil {
			t.Fatal(err)
		}
		x := call(c.path)
		if reply := f.Request(context.Background(), x, nil); reply != nil {
			t.Fatalf("%+v", reply)
		}
		x.GRPCStatus, x.LastUpstreamRx = 0, time.Second
		f.(filter.Ender).End(x)
		f.(filter.Ender).End(x) // of a second filter
		if got := total(t, store); got != c.want {
			t.Errorf("%d: %q, want %q", i, got, c.want)
		}
	}
}

func TestNotCounted(t *testing.T) {
	store := telemetry.NewStore(0, telemetry.Labels{})
	f, err := New(&config.GRPCStats{FilterState: true}, filter.Deps{Cluster: func(name string) *telemetry.Cluster {
		if name == "c" {
			return store.Cluster(name)
		}
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	plain, lost, refused := call("/a/b"), call("/a/b"), call("/a/b")
	plain.GRPC, lost.ClusterName = false, "none"
	f.Request(context.Background(), plain, nil)
	f.Request(context.Background(), lost, nil)
	for _, x := range []*stream.Exchange{plain, lost, refused} {
		x.GRPCStatus = 0
		f.(filter.Ender).End(x)
	}
	if got := total(t, store); got != "" || plain.EmitMessages || !lost.EmitMessages {
		t.Errorf("counted %s", got)
	}
}

func TestCountingAllocatesNothing(t *testing.T) {
	store := telemetry.NewStore(0, telemetry.Labels{})
	f, err := New(&config.GRPCStats{FilterState: true, Methods: map[string]bool{"/a.B/C": true}}, filter.Deps{Cluster: store.Cluster})
	if err != nil {
		t.Fatal(err)
	}
	x, end := call("/a.B/C"), f.(filter.Ender)
	if n := testing.AllocsPerRun(100, func() {
		f.Request(context.Background(), x, nil)
		end.End(x)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
