package http

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/pillion-mesh/pillion/internal/proxy/http/route"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// prepare makes the request what filters and routes are to see. It returns an answer if the request ends here.
func (c *call) prepare() *Reply {
	x, cfg := c.x, c.m.cfg
	if x.Request.Scheme == "" {
		x.Request.Scheme = "http"
		if c.conn.TLS != nil {
			x.Request.Scheme = "https"
		}
	}
	if reply := c.connectTarget(); reply != nil {
		return reply
	}
	c.authority()
	if reply := c.path(); reply != nil {
		return reply
	}
	table := c.m.cfg.Routes.Load()
	var internal []string
	if table != nil {
		internal = table.InternalHeaders
	}
	edge, reject := route.Prepare(cfg, x, internal)
	if reject != 0 {
		return &Reply{Status: reject, Details: "rejecting_because_detection_failed"}
	}
	route.ClientCert(cfg, x, c.xfcc)
	if cfg.GenerateRequestID {
		route.SetRequestID(cfg, x, edge, [2]uint64{c.engine.opts.Random(), c.engine.opts.Random()})
	}
	x.GRPC = route.IsGRPC(&x.Request) && x.Request.Method != http.MethodConnect
	if cfg.Via != "" {
		x.Request.Fields.Add("via", cfg.Via)
	}
	return maxForwards(&x.Request)
}

// authority strips of the host what the manager wants stripped. What CONNECT names is a place to go to, and stays.
func (c *call) authority() {
	cfg, r := c.m.cfg, &c.x.Request
	if !cfg.StripAnyPort && !cfg.StripMatchingPort && !cfg.StripTrailingDot || r.Method == http.MethodConnect {
		return
	}
	host, port := r.Authority, ""
	if colon := strings.LastIndexByte(host, ':'); colon > strings.LastIndexByte(host, ']') {
		host, port = host[:colon], host[colon:]
	}
	if cfg.StripTrailingDot {
		host = strings.TrimSuffix(host, ".")
	}
	if cfg.StripAnyPort || cfg.StripMatchingPort && port == ":"+strconv.Itoa(int(c.conn.Local.Port())) {
		port = ""
	}
	r.Authority = host + port
}

// path normalises the path.
func (c *call) path() *Reply {
	path, verdict := route.NormalizePath(c.m.cfg, c.x.Request.Path)
	switch verdict {
	case route.PathRejected:
		return &Reply{Status: 400, Details: "path_normalization_failed"}
	case route.PathRedirected:
		return &Reply{
			Status: 307, Details: "path_normalization_failed",
			Fields: []stream.Field{{Name: "location", Value: path}},
		}
	}
	c.x.Request.Path = path
	return nil
}

// maxForwards counts TRACE and OPTIONS down (RFC 9110 7.6.2).
func maxForwards(r *stream.Request) *Reply {
	if r.Method != http.MethodTrace && r.Method != http.MethodOptions {
		return nil
	}
	value, there := r.Fields.Get("max-forwards")
	if !there {
		return nil
	}
	n, err := strconv.ParseUint(value, 10, 32)
	switch {
	case err != nil:
	case n == 0:
		return &Reply{Status: 200, Details: "max_forwards_reached"}
	default:
		r.Fields.Set("max-forwards", strconv.FormatUint(n-1, 10))
	}
	return nil
}
