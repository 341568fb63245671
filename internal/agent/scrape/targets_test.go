package scrape

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func port(n uint16) string { return strconv.Itoa(int(n)) }

func TestTargets(t *testing.T) {
	own := []uint16{15020, 15090}
	many := make([]string, 40)
	for i := range many {
		many[i] = port(uint16(9000 + i))
	}
	for _, c := range []struct {
		annotations, list, want, fault string
	}{
		{"", "", "", ""},
		{`{"scrape":"true","path":"/metrics","port":"8080"}`, "", "8080/metrics", ""},
		{`{"scrape":"true","path":"","port":""}`, "", "80/metrics", ""},
		{`{"scrape":"true"}`, "", "80/metrics", ""},
		{`{"scrape":"false","port":"8080"}`, "9000", "9000/metrics", ""},
		{`{"scrape":"maybe","port":"8080"}`, "", "8080/metrics", ""},
		{`{"scrape":"true","path":"/m?a=b","port":"8080"}`, "8080:/m?a=b, 8080:/metrics ,,9000:x", "8080/m?a=b 8080/metrics 9000/x", ""},
		{`{"scrape":"true","port":"8080","colour":"red"}`, "", "8080/metrics", ""},
		{`{"scrape":true,"port":8080}`, "9000", "9000/metrics", "isn't JSON such as"},
		{`{`, "9000", "9000/metrics", "isn't JSON such as"},
		{"", "15020,9000,15090:/x", "9000/metrics", "15020 is a port of the sidecar itself"},
		{"", "0,65536,-1,http,9000", "9000/metrics", `scrape target "65536"`},
		{"", "9000:/%zz,9001:/x", "9001/x", "is no path of a URL"},
		{"", strings.Join(many, ","), strings.Join(many[:16], "/metrics ") + "/metrics", "9016/metrics is beyond the first 16"},
	} {
		targets, err := Targets(c.annotations, c.list, own)
		var got []string
		for _, t := range targets {
			got = append(got, port(t.Port)+t.Path)
		}
		if strings.Join(got, " ") != c.want || (err == nil) != (c.fault == "") || (err != nil && !strings.Contains(err.Error(), c.fault)) {
			t.Errorf("%s %s: %q, %v; want %q, %q", c.annotations, c.list, got, err, c.want, c.fault)
		}
	}
}

// FuzzTargets: what is accepted can be asked, once each, and is never the sidecar.
func FuzzTargets(f *testing.F) {
	f.Add(`{"scrape":"true","path":"/metrics","port":"8080"}`, "8080:/metrics,9000")
	f.Add(`{"port":"15020"}`, "15020,//x:80,1:?#,9:\x00,080")
	f.Fuzz(func(t *testing.T, annotations, list string) {
		targets, _ := Targets(annotations, list, []uint16{15020})
		if len(targets) > maxTargets {
			t.Fatalf("%d targets", len(targets))
		}
		for i, target := range targets {
			u, err := url.Parse(fmt.Sprintf("http://10.0.0.1:%d%s", target.Port, target.Path))
			if err != nil || u.Host != "10.0.0.1:"+port(target.Port) || target.Port == 0 || target.Port == 15020 {
				t.Errorf("%+v gives %v, %v", target, u, err)
			}
			if slices.Contains(targets[:i], target) {
				t.Errorf("%+v is there twice", target)
			}
		}
	})
}
