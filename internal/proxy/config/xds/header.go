package xds

import (
	"slices"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// headerOps decodes a pair of fields such as request_headers_to_add and …_to_remove.
func (d *decoder) headerOps(prefix string, add []*corev3.HeaderValueOption, remove []string) config.HeaderOps {
	out := config.HeaderOps{Add: d.headerAdds(prefix+"_to_add", add)}
	for i, name := range remove {
		d.at(prefix+"_to_remove", i, func() { out.Remove = append(out.Remove, d.headerName(name)) })
	}
	return out
}

// headerAdds decodes a repeated HeaderValueOption.
func (d *decoder) headerAdds(field string, list []*corev3.HeaderValueOption) []config.HeaderAdd {
	var out []config.HeaderAdd
	for i, o := range list {
		d.at(field, i, func() { out = append(out, d.headerAdd(o)) })
	}
	return out
}

func (d *decoder) headerAdd(o *corev3.HeaderValueOption) (out config.HeaderAdd) {
	out.KeepEmpty = o.GetKeepEmptyValue()
	out.Action = d.appendAction(o)
	d.in("header", func() {
		out.Name = d.headerName(o.GetHeader().GetKey())
		value := o.GetHeader().GetValue()
		if raw := o.GetHeader().GetRawValue(); value == "" && len(raw) > 0 {
			value = string(raw)
		}
		if strings.ContainsAny(value, "\r\n\x00") {
			d.failIn("value", "a header value has no line breaks and no NUL")
		}
		d.in("value", func() { out.Value = d.format(value) })
	})
	return out
}

func (d *decoder) appendAction(o *corev3.HeaderValueOption) config.AppendAction {
	if o.GetAppend() != nil {
		if o.GetAppend().GetValue() {
			return config.AppendOrAdd
		}
		return config.OverwriteOrAdd
	}
	actions := []config.AppendAction{config.AppendOrAdd, config.AddIfAbsent, config.OverwriteOrAdd, config.OverwriteIfPresent}
	i := int(o.GetAppendAction())
	if i < 0 || i >= len(actions) {
		d.failIn("append_action", "unknown action %d", i)
		return config.AppendOrAdd
	}
	return actions[i]
}

// headerName lower-cases the name of a header that may be changed; pseudo-headers and host may not.
func (d *decoder) headerName(name string) string {
	lower := strings.ToLower(name)
	switch {
	case lower == "host" || strings.HasPrefix(lower, ":"):
		d.fail("%s: pseudo-headers and host may not be changed", lower)
	case !isToken(lower):
		d.fail("%q is not a header name", excerpt(name))
	}
	return d.intern(lower)
}

// isToken tells whether s is a token of RFC 9110 5.6.2.
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) >= 0 {
			return false
		}
	}
	return s != ""
}

// lowered lower-cases and interns a list.
func (d *decoder) lowered(list []string) []string {
	out := slices.Clone(list)
	for i := range out {
		out[i] = d.intern(strings.ToLower(out[i]))
	}
	return out
}
