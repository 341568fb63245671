package statefulsession

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"
)

func TestReadCookie(t *testing.T) {
	for name, c := range map[string]struct{ bytes, want string }{
		"Envoy's message":        {"\n\x0b10.0.0.1:80", "10.0.0.1:80"},
		"expires later":          {"\n\x0b10.0.0.1:80\x10\xbc\xa8\xd6\xb9\x07", "10.0.0.1:80"},
		"expired":                {"\n\x0b10.0.0.1:80\x10\xff\xa7\xd6\xb9\x07", ""},
		"expires by an uptime":   {"\n\x0b10.0.0.1:80\x10\x64", "10.0.0.1:80"},
		"further fields":         {"\n\x0b10.0.0.1:80\x18\x01", "10.0.0.1:80"},
		"older, bare":            {"10.0.0.1:80", "10.0.0.1:80"},
		"older, IPv6":            {"[::1]:80", "[::1]:80"},
		"a socket":               {"\n\x08/run/app", "/run/app"},
		"a name":                 {"\n\x06a.b:80", ""},
		"no port":                {"10.0.0.1", ""},
		"nothing":                {"", ""},
		"not an address":         {"\n\x03\xff\xfe\xfd", ""},
		"a message cut off":      {"\n\x0b10.0", ""},
		"longer than any can be": {strings.Repeat("/", 2000), ""},
	} {
		if got := readCookie(base64.StdEncoding.EncodeToString([]byte(c.bytes)), now); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	for _, value := range []string{"?", "MTAuMC4wLjE6ODA", "MTAuMC4wLjE6OD\nA="} { // Envoy wants the padding
		if got := readCookie(value, now); got != "" && !strings.Contains(value, "\n") {
			t.Errorf("%q: %q", value, got)
		}
	}
}

// TestCookieRoundTrip: what is told is understood, until it expires.
func TestCookieRoundTrip(t *testing.T) {
	for _, host := range []string{"10.0.0.1:80", "[2001:db8::1]:65535", "/run/app"} {
		for _, ttl := range []time.Duration{0, time.Second, time.Hour} {
			value := writeCookie(host, ttl, now)
			if got := readCookie(value, now.Add(ttl)); got != host {
				t.Errorf("%s after %s: %q", host, ttl, got)
			}
			if got := readCookie(value, now.Add(ttl+time.Second)); (got == "") != (ttl > 0) {
				t.Errorf("%s a second later than %s: %q", host, ttl, got)
			}
		}
	}
	if got := readHeader(writeHeader("10.0.0.1:80")); got != "10.0.0.1:80" {
		t.Errorf("header: %q", got)
	}
}

// FuzzReadCookie: what clients send is a host, or nothing.
func FuzzReadCookie(f *testing.F) {
	f.Add("MTAuMC4wLjE6ODA=")
	f.Add(writeCookie("10.0.0.1:80", time.Hour, now))
	f.Add("CgsxMC4wLjAuMTo4MBD///////////8B")
	f.Fuzz(func(t *testing.T, value string) {
		host := readCookie(value, now)
		if host != "" && readCookie(writeCookie(host, 0, now), now) != strings.ToValidUTF8(host, "?") {
			t.Errorf("%q: %q isn't read again", value, host)
		}
	})
}
