package format

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// startTime is START_TIME; without a format it is the time in UTC to the millisecond.
func startTime(arg string) (op, error) {
	if arg == "" {
		return op{safe: true, do: func(line []byte, x *stream.Exchange) ([]byte, bool) { return appendTime(line, x.Start), true }}, nil
	}
	return timeOf(arg, func(x *stream.Exchange) (time.Time, bool) { return x.Start.UTC(), true })
}

func startTimeLocal(arg string) (op, error) {
	if arg == "" {
		arg = "%Y-%m-%dT%H:%M:%S.%3f%z"
	}
	return timeOf(arg, func(x *stream.Exchange) (time.Time, bool) { return x.Start.Local(), true })
}

// emitTime is when the line is written: when the exchange ended.
func emitTime(arg string) (op, error) {
	if arg == "" {
		return op{safe: true, do: func(line []byte, x *stream.Exchange) ([]byte, bool) {
			return appendTime(line, x.Start.Add(x.End)), true
		}}, nil
	}
	return timeOf(arg, func(x *stream.Exchange) (time.Time, bool) { return x.Start.Add(x.End).UTC(), true })
}

func notBefore(c *x509.Certificate) time.Time { return c.NotBefore }
func notAfter(c *x509.Certificate) time.Time  { return c.NotAfter }

func certTime(side func(*stream.Exchange) *stream.TLS, of func(*x509.Certificate) time.Time) func(string) (op, error) {
	return func(arg string) (op, error) {
		if arg == "" {
			arg = "%Y-%m-%dT%H:%M:%S.%3fZ"
		}
		return timeOf(arg, func(x *stream.Exchange) (time.Time, bool) {
			t := side(x)
			if t == nil || t.PeerCert == nil {
				return time.Time{}, false
			}
			return of(t.PeerCert).UTC(), true
		})
	}
}

// appendTime writes 2006-01-02T15:04:05.000Z. It stands in nearly every line, so it is written by hand.
func appendTime(line []byte, t time.Time) []byte {
	t = t.UTC()
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	line = append(digits(line, year, 4), '-')
	line = append(digits(line, int(month), 2), '-')
	line = append(digits(line, day, 2), 'T')
	line = append(digits(line, hour, 2), ':')
	line = append(digits(line, minute, 2), ':')
	line = append(digits(line, second, 2), '.')
	return append(digits(line, t.Nanosecond()/1e6, 3), 'Z')
}

// digits writes n in at least width digits.
func digits(line []byte, n, width int) []byte {
	const most = 4
	if n < 0 || n > 9999 || width > most {
		return fmt.Appendf(line, "%0*d", width, n)
	}
	var text [most]byte
	for i := most - 1; i >= 0; i-- {
		text[i] = byte('0' + n%10)
		n /= 10
	}
	return append(line, text[most-width:]...)
}

// stamp appends one part of a time.
type stamp func(line []byte, t time.Time) []byte

func timeOf(format string, of func(*stream.Exchange) (time.Time, bool)) (op, error) {
	stamps, err := strftime(format)
	return op{do: func(line []byte, x *stream.Exchange) ([]byte, bool) {
		t, ok := of(x)
		if !ok {
			return line, false
		}
		for _, s := range stamps {
			line = s(line, t)
		}
		return line, true
	}}, err
}

// strftime compiles a time format: strftime's directives, and Envoy's %f and %s with a number of digits in between, and
// Abseil's %E.
func strftime(format string) (stamps []stamp, err error) {
	for format != "" {
		before, after, found := strings.Cut(format, "%")
		stamps = append(stamps, func(line []byte, _ time.Time) []byte { return append(line, before...) })
		if !found {
			break
		}
		s, rest, err := directive(after)
		if err != nil {
			return nil, err
		}
		stamps, format = append(stamps, s), rest
	}
	return stamps, nil
}

// layouts are directives Go has a layout for.
var layouts = map[byte]string{
	'Y': "2006", 'y': "06", 'm': "01", 'd': "02", 'e': "_2", 'H': "15", 'I': "03", 'M': "04", 'S': "05", 'p': "PM",
	'a': "Mon", 'A': "Monday", 'b': "Jan", 'B': "January", 'h': "Jan", 'j': "002", 'z': "-0700", 'Z': "MST",
	'T': "15:04:05", 'R': "15:04", 'F': "2006-01-02", 'D': "01/02/06", 'c': "Mon Jan _2 15:04:05 2006", 'x': "01/02/06",
	'X': "15:04:05", 'r': "03:04:05 PM",
}

func directive(text string) (s stamp, rest string, err error) {
	if text == "" {
		return nil, "", fmt.Errorf("a time format ends with %%")
	}
	if layout, ok := layouts[text[0]]; ok {
		return func(line []byte, t time.Time) []byte { return t.AppendFormat(line, layout) }, text[1:], nil
	}
	switch c := text[0]; {
	case c == '%' || c == 'n' || c == 't':
		sign := map[byte]byte{'%': '%', 'n': '\n', 't': '\t'}[c]
		return func(line []byte, _ time.Time) []byte { return append(line, sign) }, text[1:], nil
	case c == 'f':
		return fraction(9), text[1:], nil
	case c == 's':
		return epoch(0), text[1:], nil
	case c >= '1' && c <= '9' && len(text) > 1 && text[1] == 'f':
		return fraction(int(c - '0')), text[2:], nil
	case (c == '3' || c == '6' || c == '9') && len(text) > 1 && text[1] == 's':
		return epoch(int(c - '0')), text[2:], nil
	case c == 'E' && len(text) > 1:
		return extended(text[1:])
	}
	return nil, "", fmt.Errorf("the time format %%%s is unknown", text[:1])
}

// extended are Abseil's: %E3S is seconds with so many digits behind the point, %Ez an offset with a colon.
func extended(text string) (stamp, string, error) {
	switch {
	case text[0] == 'z':
		return func(line []byte, t time.Time) []byte { return t.AppendFormat(line, "-07:00") }, text[1:], nil
	case text[0] == 'T':
		return func(line []byte, _ time.Time) []byte { return append(line, 'T') }, text[1:], nil
	case len(text) > 1 && text[0] >= '1' && text[0] <= '9' && (text[1] == 'S' || text[1] == 'f'):
		part := fraction(int(text[0] - '0'))
		if text[1] == 'f' {
			return part, text[2:], nil
		}
		return func(line []byte, t time.Time) []byte { return part(append(digits(line, t.Second(), 2), '.'), t) }, text[2:], nil
	}
	return nil, "", fmt.Errorf("the time format %%E%s is unknown", text[:1])
}

// fraction writes the first digits of the second's fraction.
func fraction(width int) stamp {
	return func(line []byte, t time.Time) []byte {
		start := len(line)
		line = strconv.AppendInt(line, int64(1e9+t.Nanosecond()), 10)
		return append(line[:start], line[start+1:start+1+width]...)
	}
}

// epoch writes the time since 1970 in units of 10^-width seconds.
func epoch(width int) stamp {
	return func(line []byte, t time.Time) []byte {
		switch width {
		case 3:
			return strconv.AppendInt(line, t.UnixMilli(), 10)
		case 6:
			return strconv.AppendInt(line, t.UnixMicro(), 10)
		case 9:
			return strconv.AppendInt(line, t.UnixNano(), 10)
		default:
			return strconv.AppendInt(line, t.Unix(), 10)
		}
	}
}

// uniqueID is a new UUID each time.
func uniqueID(line []byte, _ *stream.Exchange) ([]byte, bool) {
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	for i, part := range [][]byte{id[:4], id[4:6], id[6:8], id[8:10], id[10:]} {
		if i > 0 {
			line = append(line, '-')
		}
		line = hex.AppendEncode(line, part)
	}
	return line, true
}
