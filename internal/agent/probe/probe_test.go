package probe

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	const live, hook = "/app-health/app/livez", "/app-lifecycle/app/prestopz"
	for _, c := range []struct {
		path, value string
		time        time.Duration
		fault       string
	}{
		{live, `{"httpGet":{"path":"/x","port":80,"scheme":"HTTPS","httpHeaders":[{"name":"A","value":"b"}]},"timeoutSeconds":3}`, 3 * time.Second, ""},
		{live, `{"httpGet":{"port":"8080"}}`, time.Second, ""},
		{live, `{"tcpSocket":{"port":80,"host":"db"},"timeoutSeconds":-7}`, time.Second, ""},
		{live, `{"grpc":{"port":80,"service":null},"timeoutSeconds":9223372036854775807,"colour":"red"}`, time.Hour, ""},
		{hook, `{"httpGet":{"port":80}}`, time.Hour, ""},
		{hook, `{"httpGet":{"port":80},"timeoutSeconds":2}`, 2 * time.Second, ""},
		{live, `{"httpGet":{"port":"http"}}`, 0, `port is "http", want a number`},
		{live, `{"httpGet":{"port":0}}`, 0, "port is 0, want a number"},
		{live, `{"httpGet":{"port":-1}}`, 0, "port is -1, want a number"},
		{live, `{"httpGet":{"port":65536}}`, 0, "port is 65536, want a number"},
		{live, `{"httpGet":{"path":"/"}}`, 0, "there is no port"},
		{live, `{"httpGet":{"port":80,"scheme":"ftp"}}`, 0, `scheme is "ftp"`},
		{live, `{"httpGet":{"port":80},"grpc":{"port":80}}`, 0, "2 of httpGet, tcpSocket and grpc are set"},
		{live, `{"exec":{"command":["x"]}}`, 0, "0 of httpGet, tcpSocket and grpc are set"},
		{live, `7`, 0, "cannot unmarshal"},
		{"/app-health/app/prestopz", `{"tcpSocket":{"port":80}}`, 0, "want /app-health/CONTAINER/livez"},
		{"/app-health//livez", `{"tcpSocket":{"port":80}}`, 0, "want /app-health/CONTAINER/livez"},
		{"/quitquitquit", `{"tcpSocket":{"port":80}}`, 0, "want /app-health/CONTAINER/livez"},
	} {
		// A probe beside it must not suffer.
		set, err := Parse(fmt.Sprintf(`{%q:%s,"/app-health/good/readyz":{"tcpSocket":{"port":1}}}`, c.path, c.value))
		if good, errGood := set.find("/app-health/good/readyz"); errGood != nil || good.time != time.Second {
			t.Errorf("%s: the probe beside it: %v", c.value, errGood)
		}
		p, errFind := set.find(c.path)
		switch {
		case c.fault == "" && (err != nil || errFind != nil || p.time != c.time):
			t.Errorf("%s: %v, %v; time %v, want %v", c.value, err, errFind, p.time, c.time)
		case c.fault != "" && (err == nil || errFind == nil || !strings.Contains(errFind.Error(), c.fault)):
			t.Errorf("%s: %v, %v; want %q", c.value, err, errFind, c.fault)
		}
	}
}

func TestParseNothing(t *testing.T) {
	for _, c := range []struct{ text, fault, find string }{
		{"", "", "app prober config does not exists for /app-health/app/livez"},
		{"{}", "", "app prober config does not exists for /app-health/app/livez"},
		{"null", "", "app prober config does not exists for /app-health/app/livez"},
		{"{", "isn't a JSON object", "isn't a JSON object"},
		{"[]", "isn't a JSON object", "isn't a JSON object"},
		{strings.Repeat("[", 20000), "isn't a JSON object", "isn't a JSON object"},
	} {
		set, err := Parse(c.text)
		if (err == nil) != (c.fault == "") || (err != nil && !strings.Contains(err.Error(), c.fault)) {
			t.Errorf("%.20s: error %v, want %q", c.text, err, c.fault)
		}
		if _, err := set.find("/app-health/app/livez"); err == nil || !strings.Contains(err.Error(), c.find) {
			t.Errorf("%.20s: found %v, want %q", c.text, err, c.find)
		}
	}
}

// FuzzParse: no map makes it panic, and a probe that is found can be run.
func FuzzParse(f *testing.F) {
	f.Add(`{"/app-health/app/livez":{"httpGet":{"path":"/x?y","port":80,"host":"h","scheme":"HTTPS","httpHeaders":[{"name":"Host","value":"x"}]},"timeoutSeconds":3}}`)
	f.Add(`{"/app-lifecycle/a/prestopz":{"tcpSocket":{"port":"80"}},"/app-health/b/readyz":{"grpc":{"port":1,"service":"s"}}}`)
	f.Add(`{"/app-health/app/livez":{"httpGet":{"path":"//user@evil.example:1/%zz","port":80}}}`)
	f.Fuzz(func(t *testing.T, text string) {
		set, _ := Parse(text)
		for path := range set.probes {
			p, err := set.find(path)
			if err != nil {
				continue
			}
			if p.time < leastTime || p.time > longestTime || p.check() != nil {
				t.Errorf("%s: %+v", path, p)
			}
			if p.HTTPGet != nil {
				checkURL(t, p.HTTPGet)
			}
		}
	})
}

// FuzzHealth: an answer never makes it panic; what it reads in one is what encoding it again gives.
func FuzzHealth(f *testing.F) {
	f.Add([]byte{8, 1})
	f.Add([]byte{0x12, 3, 'a', 'b', 'c', 0x19, 1, 2, 3, 4, 5, 6, 7, 8, 0x25, 1, 2, 3, 4, 8, 2})
	f.Add([]byte{0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, message []byte) {
		status, err := parseHealth(message)
		if err != nil {
			return
		}
		if again, err := parseHealth(append(message, statusField, 1)); err != nil || again != 1 {
			t.Errorf("%x gives %d, with a status behind it %d, %v", message, status, again, err)
		}
	})
}

func TestPortKeepsItsForm(t *testing.T) {
	var p port
	for text, want := range map[string]string{`80`: "80", `"80"`: "80"} {
		if err := json.Unmarshal([]byte(text), &p); err != nil || p.String() != want {
			t.Errorf("%s gives %s, %v", text, p, err)
		}
	}
}
