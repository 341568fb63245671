package statefulsession

import (
	"encoding/base64"
	"errors"
	"net/netip"
	"time"
	"unicode/utf8"

	"github.com/pillion-mesh/pillion/internal/proxy/wire"
)

// Fields of Envoy's message Cookie.
const (
	cookieAddress wire.Number = 1
	cookieExpires wire.Number = 2
)

// uptimes are times of expiry below this: Envoy counts them from when its machine was started, and no machine runs for 30
// years. Others are seconds since 1970.
const uptimes = 1_000_000_000

// mostValue bounds what is decoded, in bytes.
const mostValue = 1024

// writeCookie is a cookie's value: Envoy's message of the host and when it expires, in base64. Envoy compares that time with
// its machine's uptime, so to it ours never expires; the client forgets the cookie by its Max-Age all the same.
func writeCookie(host string, ttl time.Duration, now time.Time) string {
	b := wire.AppendText(nil, cookieAddress, host)
	if seconds := int64(ttl.Seconds()); seconds > 0 {
		b = wire.AppendNumber(b, cookieExpires, uint64(max(now.Unix()+seconds, 0)))
	}
	return base64.StdEncoding.EncodeToString(b)
}

// readCookie returns the host a cookie names: in Envoy's message, or bare as in older cookies. "": none, or it expired. When
// a cookie of an Envoy on another machine expires can't be known here, so that it counts.
func readCookie(value string, now time.Time) string {
	b := decode(value)
	host, expires, err := readMessage(b)
	switch {
	case err != nil || host == "":
		host = string(b)
	case expires >= uptimes && uint64(max(now.Unix(), 0)) > expires:
		return ""
	}
	return address(host)
}

func readMessage(b []byte) (host string, expires uint64, err error) {
	err = wire.Each(b, func(field wire.Number, content []byte, n uint64) error {
		switch {
		case field == cookieAddress && !utf8.Valid(content):
			return errors.New("not a text")
		case field == cookieAddress:
			host = string(content)
		case field == cookieExpires:
			expires = n
		}
		return nil
	})
	return host, expires, err
}

func writeHeader(host string) string { return base64.StdEncoding.EncodeToString([]byte(host)) }

func readHeader(value string) string { return address(string(decode(value))) }

func decode(value string) []byte {
	if len(value) > mostValue {
		return nil
	}
	b, err := base64.StdEncoding.DecodeString(value)
	if err != nil {
		return nil
	}
	return b
}

// address returns a host's name if it is one: ip:port, or a path.
func address(host string) string {
	if host == "" || host[0] == '/' {
		return host
	}
	if _, err := netip.ParseAddrPort(host); err != nil {
		return ""
	}
	return host
}
