package xds

import (
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

func (d *decoder) action(r *routev3.Route, limit int, out *config.Route) {
	switch a := r.GetAction().(type) {
	case *routev3.Route_Route:
		d.in("route", func() { out.Forward = d.forward(a.Route) })
	case *routev3.Route_Redirect:
		d.in("redirect", func() { out.Redirect = d.redirect(a.Redirect) })
	case *routev3.Route_DirectResponse:
		d.in("direct_response", func() { out.Direct = d.directResponse(a.DirectResponse, limit) })
	case *routev3.Route_NonForwardingAction:
		d.failIn("non_forwarding_action", "not supported")
	case *routev3.Route_FilterAction:
		d.failIn("filter_action", "not supported")
	default:
		d.fail("no action")
	}
}

// defaultDirectBody is Envoy's bound of a direct response's body in bytes.
const defaultDirectBody = 4096

func (d *decoder) directResponse(a *routev3.DirectResponseAction, limit int) *config.DirectResponse {
	out := &config.DirectResponse{Status: a.GetStatus()}
	if out.Status < 200 || out.Status > 599 {
		d.failIn("status", "%d is not between 200 and 599", out.Status)
	}
	if a.GetBody() != nil {
		d.in("body", func() { out.Body = string(d.source(a.GetBody())) })
	}
	if len(out.Body) > limit {
		d.failIn("body", "%d bytes are more than %d", len(out.Body), limit)
	}
	if a.GetBodyFormat() != nil {
		d.failIn("body_format", "not supported")
	}
	return out
}

// redirectCodes are the codes by Envoy's number for them.
var redirectCodes = []uint32{301, 302, 303, 307, 308}

func (d *decoder) redirect(a *routev3.RedirectAction) *config.Redirect {
	out := &config.Redirect{
		Code: choose(d, "response_code", int32(a.GetResponseCode()), redirectCodes),
		Host: a.GetHostRedirect(), Port: uint32(d.port("port_redirect", a.GetPortRedirect())), StripQuery: a.GetStripQuery(),
		Scheme: a.GetSchemeRedirect(),
	}
	if a.GetHttpsRedirect() {
		out.Scheme = "https"
	}
	switch s := a.GetPathRewriteSpecifier().(type) {
	case *routev3.RedirectAction_PathRedirect:
		out.Path = s.PathRedirect
	case *routev3.RedirectAction_PrefixRewrite:
		out.PrefixRewrite, out.HasPrefix = s.PrefixRewrite, true
	case *routev3.RedirectAction_RegexRewrite:
		out.RegexRewrite = d.rewrite("regex_rewrite", s.RegexRewrite)
	case *routev3.RedirectAction_PathRewrite:
		d.failIn("path_rewrite", "not supported")
	}
	return out
}
