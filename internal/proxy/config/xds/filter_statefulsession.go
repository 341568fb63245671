package xds

import (
	sessionv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/stateful_session/v3"
	cookiev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/http/stateful_session/cookie/v3"
	headerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/http/stateful_session/header/v3"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

func (d *decoder) statefulSession(t typed) any {
	var m sessionv3.StatefulSession
	if !d.into(t, &m) {
		return nil
	}
	return d.session(&m)
}

func (d *decoder) session(m *sessionv3.StatefulSession) *config.StatefulSession {
	out := &config.StatefulSession{
		Strict: m.GetStrict(), StatPrefix: d.intern(m.GetStatPrefix()), NotFound: m.GetStatusOnStrictDestinationNotFound(),
	}
	if s := out.NotFound; s != 0 && (s < 200 || s > 599) {
		d.failIn("status_on_strict_destination_not_found", "%d is not between 200 and 599", s)
	}
	if state := m.GetSessionState(); state != nil {
		d.step(segment{"session_state", -1, state.GetName()}, func() { d.sessionState(d.open(state.GetTypedConfig()), out) })
	}
	return out
}

func (d *decoder) sessionState(t typed, out *config.StatefulSession) {
	switch t.message {
	case cookieSessionType:
		var m cookiev3.CookieBasedSessionState
		if d.into(t, &m) {
			d.in("cookie", func() { out.Cookie = d.sessionCookie(&m) })
		}
	case headerSessionType:
		var m headerv3.HeaderBasedSessionState
		if !d.into(t, &m) {
			return
		}
		if out.Header = d.lowered([]string{m.Name})[0]; m.Name == "" {
			d.failIn("name", "empty")
		}
	default:
		d.fail("not supported") // it may rewrite a header of the request
	}
}

func (d *decoder) sessionCookie(m *cookiev3.CookieBasedSessionState) *config.SessionCookie {
	c := m.GetCookie()
	out := &config.SessionCookie{Name: d.intern(c.GetName()), Path: d.intern(c.GetPath()), TTL: d.duration("ttl", c.GetTtl(), 0)}
	if out.Name == "" {
		d.failIn("name", "empty")
	}
	for _, a := range c.GetAttributes() {
		out.Attributes = append(out.Attributes, [2]string{a.GetName(), a.GetValue()})
	}
	return out
}

func (d *decoder) statefulSessionOverride(t typed) (out config.Override) {
	var m sessionv3.StatefulSessionPerRoute
	if !d.into(t, &m) {
		return out
	}
	switch o := m.Override.(type) {
	case *sessionv3.StatefulSessionPerRoute_Disabled:
		if out.Disabled = o.Disabled; !o.Disabled {
			d.failIn("disabled", "must be true")
		}
	case *sessionv3.StatefulSessionPerRoute_StatefulSession:
		d.in("stateful_session", func() { out.Config = d.session(o.StatefulSession) })
	default:
		d.fail("neither disabled nor stateful_session")
	}
	return out
}
