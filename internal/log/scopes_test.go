package log

import (
	"bytes"
	"strings"
	"testing"
)

func TestScopes(t *testing.T) {
	var out bytes.Buffer
	logger, scopes, err := NewScoped(&out, Options{Level: "info"}, []string{"http", "upstream", "http"})
	if err != nil {
		t.Fatal(err)
	}
	said := func(name string, v int) bool {
		out.Reset()
		logger.WithValues("k", 1).WithName(name).V(v).Info("hello")
		return out.Len() > 0
	}
	check := func(when, name string, v int, want bool) {
		t.Helper()
		if got := said(name, v); got != want {
			t.Errorf("%s: %s V(%d) is logged: %v", when, name, v, got)
		}
	}
	check("at first", "http", 0, true)
	check("at first", "http", 1, false)
	if err := scopes.Set("http", "debug"); err != nil {
		t.Fatal(err)
	}
	check("http at debug", "http", 1, true)
	check("http at debug", "http", 2, false)
	check("http at debug", "upstream", 1, false)
	check("http at debug", "elsewhere", 1, false)
	logger.WithName("http").WithName("conn").V(1).Info("nested")
	if !strings.Contains(out.String(), "http.conn") {
		t.Error("a nested name isn't in its scope")
	}
	if err := scopes.Set("", "OFF"); err != nil {
		t.Fatal(err)
	}
	check("off", "http", 0, false)
	if err := scopes.Set(Misc, "trace"); err != nil {
		t.Fatal(err)
	}
	check("misc at trace", "elsewhere", 5, true)
	if !strings.Contains(out.String(), `"level":"trace"`) {
		t.Errorf("the level is not named: %s", out.String())
	}
	var list []string
	scopes.Each(func(name, level string) { list = append(list, name+":"+level) })
	if got := strings.Join(list, " "); got != "http:off misc:trace upstream:off" {
		t.Errorf("levels %s", got)
	}
}

func TestScopeErrors(t *testing.T) {
	_, scopes, err := NewScoped(&bytes.Buffer{}, Options{}, []string{"http"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range [][3]string{
		{"http", "loud", "unknown logger level loud"}, {"smtp", "info", "unknown logger name smtp"}, {"", "", "unknown logger level"},
	} {
		if err := scopes.Set(c[0], c[1]); err == nil || !strings.Contains(err.Error(), c[2]) {
			t.Errorf("%v: %v", c, err)
		}
	}
	for _, o := range []Options{{Level: "loud"}, {Format: "xml"}} {
		if _, _, err := NewScoped(&bytes.Buffer{}, o, nil); err == nil {
			t.Errorf("%+v is taken", o)
		}
	}
}
