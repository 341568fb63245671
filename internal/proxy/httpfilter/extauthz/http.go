package extauthz

import (
	"errors"
	"slices"
	"strings"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter/filter"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// call is the question over HTTP: the request's method, its path behind a prefix, those of its fields that are allowed.
func (f *authz) call(x *stream.Exchange, body []byte, partial bool) *filter.Call {
	c := &filter.Call{
		Cluster: f.config.HTTPCluster, Method: x.Request.Method, Host: x.Request.Authority,
		Path: f.config.PathPrefix + x.Request.Path, Body: body, Timeout: f.timeout, Purpose: "ext_authz",
	}
	if x.Request.OriginalPath != "" {
		c.Path = f.config.PathPrefix + x.Request.OriginalPath
	}
	for i := range x.Request.Fields.Len() {
		field := x.Request.Fields.At(i)
		if changeable(field.Name) && (field.Name == "authorization" || anyMatches(f.config.RequestHeaders, field.Name)) && !f.hidden(field.Name) {
			c.Fields = append(c.Fields, field)
		}
	}
	for _, each := range f.config.AddHeaders {
		c.Fields = slices.DeleteFunc(c.Fields, func(old stream.Field) bool { return old.Name == each[0] })
		c.Fields = append(c.Fields, stream.Field{Name: each[0], Value: each[1]})
	}
	if f.config.MaxRequestBytes > 0 {
		value := "false"
		if partial {
			value = "true"
		}
		c.Fields = append(c.Fields, stream.Field{Name: "x-envoy-auth-partial-body", Value: value})
	}
	return c
}

// hidden reports whether the service may not see a field, whatever else is said of it.
func (f *authz) hidden(name string) bool { return anyMatches(f.config.HiddenHeaders, name) }

func anyMatches(list []config.StringMatch, name string) bool {
	return slices.ContainsFunc(list, func(m config.StringMatch) bool { return m.Match(name) })
}

var errUpstream = errors.New("the authorization service failed")

// judged reads the service's answer: 200 lets pass, 5xx is no answer, anything else refuses.
func (f *authz) judged(a *filter.Answer) (*verdict, error) {
	switch {
	case a.Status >= 500:
		return nil, errUpstream
	case a.Status == 200:
		return f.allowed(a), nil
	}
	v := &verdict{status: a.Status, body: string(a.Body)}
	for i := range a.Fields.Len() {
		field := a.Fields.At(i)
		if changeable(field.Name) && (len(f.config.ClientHeaders) == 0 || always(field.Name) || anyMatches(f.config.ClientHeaders, field.Name)) {
			v.fields = append(v.fields, field)
		}
	}
	return v, nil
}

// always reaches the client of a denial, whatever is allowed.
func always(name string) bool {
	return name == "www-authenticate" || name == "proxy-authenticate" || name == "location"
}

func (f *authz) allowed(a *filter.Answer) *verdict {
	v := &verdict{allowed: true}
	for i := range a.Fields.Len() {
		field := a.Fields.At(i)
		if anyMatches(f.config.UpstreamHeaders, field.Name) {
			v.set = append(v.set, field)
		}
		if anyMatches(f.config.AppendUpstream, field.Name) {
			v.more = append(v.more, field)
		}
		if anyMatches(f.config.SuccessHeaders, field.Name) {
			v.response = append(v.response, mutation{field, setField})
		}
		if field.Name == "x-envoy-auth-headers-to-remove" {
			for _, name := range strings.Split(field.Value, ",") {
				v.remove = append(v.remove, strings.ToLower(strings.TrimSpace(name)))
			}
		}
	}
	return v
}
