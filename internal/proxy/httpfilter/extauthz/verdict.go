package extauthz

import (
	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter/filter"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// verdict is what a service says, over gRPC or HTTP.
type verdict struct {
	allowed bool
	// Of a request that may pass: fields to set, to append, to remove; fields of the answer to it.
	set, more  []stream.Field
	remove     []string
	response   []mutation
	parameters []parameter // of the query
	// Of a denial: 0 means 403.
	status   int
	body     string
	fields   []stream.Field
	metadata map[string]any
}

// mutation is a field of an answer, and what becomes of it.
type mutation struct {
	stream.Field
	action action
}

// action is HeaderValueOption.append_action.
type action uint64

const (
	addField    action = iota
	addIfAbsent        // unless there is one
	setField
	setIfThere // only if there is one
)

// apply makes a verdict come true.
func (f *authz) apply(x *stream.Exchange, v *verdict) *filter.Reply {
	for key, value := range v.metadata {
		filter.SetMetadata(x, "envoy.filters.http.ext_authz", key, value)
	}
	if !v.allowed {
		return f.refuse(v)
	}
	f.ok()
	for _, name := range v.remove {
		if changeable(name) {
			x.Request.Fields.Remove(name)
		}
	}
	for _, each := range v.set {
		set(x, each)
	}
	for _, each := range v.more {
		if changeable(each.Name) {
			x.Request.Fields.Add(each.Name, each.Value)
		}
	}
	changes := len(v.remove) + len(v.set) + len(v.more) + len(v.parameters)
	x.Stale = x.Stale || f.config.ClearRouteCache && changes > 0
	for i := range v.parameters {
		x.Request.Path = v.parameters[i].apply(x.Request.Path)
	}
	if len(v.response) > 0 {
		filter.SetMetadata(x, kept, "response", v.response)
	}
	return nil
}

func (f *authz) refuse(v *verdict) *filter.Reply {
	f.denied()
	reply := &filter.Reply{
		Status: v.status, Body: v.body, Details: "ext_authz_denied", Flags: stream.UnauthorizedExternalService,
	}
	if reply.Status == 0 {
		reply.Status = 403
	}
	for _, each := range v.fields {
		if changeable(each.Name) {
			reply.Fields = append(reply.Fields, each)
		}
	}
	return reply
}

// set replaces a field. The service may choose another host and path, not another method or framing.
func set(x *stream.Exchange, f stream.Field) {
	switch f.Name {
	case "host", ":authority":
		x.Request.Authority = f.Value
	case ":path":
		x.Request.Path = f.Value
	default:
		if changeable(f.Name) {
			x.Request.Fields.Set(f.Name, f.Value)
		}
	}
}

// changeable keeps fields that frame a message, or name its target, out of a service's reach, and names that are none.
func changeable(name string) bool { return filter.Writable(stream.Field{Name: name}) }

// kept is where the fields for the answer to a request that passed wait in its metadata.
const kept = "pillion.ext_authz"

// Response adds what the service wants the client to know.
func (f *authz) Response(x *stream.Exchange) {
	fields, _ := x.Metadata[kept]["response"].([]mutation)
	for _, each := range fields {
		if changeable(each.Name) {
			each.apply(&x.Response.Fields)
		}
	}
}

func (m *mutation) apply(f *stream.Fields) {
	_, there := f.Get(m.Name)
	switch {
	case m.action == addField || m.action == addIfAbsent && !there:
		f.Add(m.Name, m.Value)
	case m.action == setField || m.action == setIfThere && there:
		f.Set(m.Name, m.Value)
	}
}
