// Package xds turns Envoy v3 resources into the types of package config. Bytes of a resource (the value of its Any)
// come in; an immutable value, what it needs besides (Needs), and an error whose text is the NACK's message go out.
// Nothing here reads the network or the clock; files are read by a function that is handed in. No protobuf message
// outlives a call.
//
// Read this file first, then cells.go and needs.go for what goes in and out, support.go for what is understood, and
// listener.go, chain.go, hcm.go, route.go, cluster.go, endpoint.go, secret.go in the order a connection meets them.
package xds

import (
	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// The type URLs of resources.
const (
	TypeListener  = "type.googleapis.com/envoy.config.listener.v3.Listener"
	TypeRoutes    = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
	TypeCluster   = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
	TypeEndpoints = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
	TypeSecret    = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"
	TypeExtension = "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig"
)

// Listener decodes an envoy.config.listener.v3.Listener. The error is an *Error.
func Listener(raw []byte, cells Cells) (*config.Listener, Needs, error) {
	d := newDecoder("listener", raw, cells)
	l := d.listener(raw)
	return finish(d, l)
}

// Cluster decodes an envoy.config.cluster.v3.Cluster. The error is an *Error.
func Cluster(raw []byte, cells Cells) (*config.Cluster, Needs, error) {
	d := newDecoder("cluster", raw, cells)
	c := d.cluster(raw)
	return finish(d, c)
}

// Routes decodes an envoy.config.route.v3.RouteConfiguration. The error is an *Error.
func Routes(raw []byte) (*config.RouteTable, Needs, error) {
	d := newDecoder("route", raw, nil)
	t := d.routes(raw)
	return finish(d, t)
}

// Endpoints decodes an envoy.config.endpoint.v3.ClusterLoadAssignment. The error is an *Error.
func Endpoints(raw []byte) (*config.Endpoints, Needs, error) {
	d := newDecoder("endpoints", raw, nil)
	e := d.assignment(raw)
	return finish(d, e)
}

// Secret decodes an envoy.extensions.transport_sockets.tls.v3.Secret; files reads what its data sources name. The error
// is an *Error.
func Secret(raw []byte, files Files) (*SecretValue, Needs, error) {
	d := newDecoder("secret", raw, Fresh{Files: files})
	s := d.secret(raw)
	return finish(d, s)
}

// Extension decodes an envoy.config.core.v3.TypedExtensionConfig that holds an HTTP filter (ECDS). A filter that may be
// skipped comes as one without Config, and a note. The error is an *Error.
func Extension(raw []byte, cells Cells) (*config.HTTPFilter, Needs, error) {
	d := newDecoder("extension", raw, cells)
	f := d.extension(raw)
	return finish(d, f)
}

func finish[T any](d *decoder, value *T) (*T, Needs, error) {
	if err := d.err(); err != nil {
		return nil, d.needs, err
	}
	return value, d.needs, nil
}
