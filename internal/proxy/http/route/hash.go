package route

import (
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// Hashed is what hash policies make of a request. Cookies are values of Set-Cookie for its answer.
type Hashed struct {
	Value   uint64
	Any     bool // false: nothing to hash was there
	Cookies []string
}

// Hash computes the hash that chooses among hosts, as Envoy does, so that mixed fleets agree.
func Hash(x *stream.Exchange, policies []config.HashPolicy) (h Hashed) {
	for i := range policies {
		p := &policies[i]
		if value, there := h.one(x, p); there {
			h.Value = bits.RotateLeft64(h.Value, 1) ^ value // rotated, equal policies don't cancel each other out
			h.Any = true
		}
		if p.Terminal && h.Any {
			break
		}
	}
	return h
}

func (h *Hashed) one(x *stream.Exchange, p *config.HashPolicy) (uint64, bool) {
	switch p.Kind {
	case config.HashHeader:
		return hashHeader(x, p)
	case config.HashCookie:
		return h.cookie(x, p)
	case config.HashSourceIP:
		ip := x.Client().Addr()
		var buf [64]byte
		return xxhash.Sum64(ip.AppendTo(buf[:0])), ip.IsValid()
	default:
		_, query := splitQuery(x.Request.Path)
		value, there := parameter(query, p.Name)
		return xxhash.Sum64String(value), there
	}
}

// hashHeader hashes a header; several of one name are sorted, so that their order is of no matter.
func hashHeader(x *stream.Exchange, p *config.HashPolicy) (uint64, bool) {
	value, there := x.Request.Header(p.Name)
	if !there {
		return 0, false
	}
	if all, _ := x.Request.Joined(p.Name); len(all) > len(value) {
		value = sortedValues(&x.Request.Fields, p)
	} else if p.Rewrite != nil {
		value = p.Rewrite.Apply(value)
	}
	return xxhash.Sum64String(value), true
}

func sortedValues(fields *stream.Fields, p *config.HashPolicy) string {
	var values []string
	for i := range fields.Len() {
		if f := fields.At(i); f.Name == p.Name {
			if p.Rewrite != nil {
				f.Value = p.Rewrite.Apply(f.Value)
			}
			values = append(values, f.Value)
		}
	}
	slices.Sort(values)
	return strings.Join(values, "")
}

func (h *Hashed) cookie(x *stream.Exchange, p *config.HashPolicy) (uint64, bool) {
	if value := Cookie(&x.Request.Fields, p.Name); value != "" {
		return xxhash.Sum64String(value), true
	}
	if p.CookieTTL == nil {
		return 0, false
	}
	text := x.Conn.Remote.String() + x.Conn.Local.String()
	value := hex16(xxhash.Sum64String(text))
	h.Cookies = append(h.Cookies, SetCookie(p.Name, value, *p.CookieTTL, p.CookiePath, p.Attributes))
	return xxhash.Sum64String(value), true
}

func hex16(n uint64) string {
	text := strconv.FormatUint(n, 16)
	return "0000000000000000"[len(text):] + text
}

// SetCookie is the value of a Set-Cookie: ttl in whole seconds, 0 for a cookie that ends with the client; attributes are
// names and values.
func SetCookie(name, value string, ttl time.Duration, path string, attributes [][2]string) string {
	var b strings.Builder
	b.WriteString(name + `="` + value + `"`)
	if seconds := int64(ttl.Seconds()); seconds > 0 {
		b.WriteString("; Max-Age=" + strconv.FormatInt(seconds, 10))
	}
	if path != "" {
		b.WriteString("; Path=" + path)
	}
	for _, a := range attributes {
		b.WriteString("; " + a[0])
		if a[1] != "" {
			b.WriteString("=" + a[1])
		}
	}
	b.WriteString("; HttpOnly")
	return b.String()
}

// Cookie returns the value of a cookie without its quotes, "" if it isn't there. All Cookie fields are looked at.
func Cookie(fields *stream.Fields, name string) string {
	for i := range fields.Len() {
		f := fields.At(i)
		if f.Name != "cookie" {
			continue
		}
		if value, there := cookieIn(f.Value, name); there {
			return value
		}
	}
	return ""
}

func cookieIn(crumbs, name string) (string, bool) {
	for crumbs != "" {
		var crumb string
		crumb, crumbs, _ = strings.Cut(crumbs, ";")
		key, value, ok := strings.Cut(strings.TrimLeft(crumb, " \t"), "=")
		if !ok || key != name {
			continue
		}
		value = strings.TrimRight(value, " \t")
		if len(value) >= 2 && value[0] == '"' && value[len(value)-1] == '"' {
			value = value[1 : len(value)-1]
		}
		return value, true
	}
	return "", false
}
