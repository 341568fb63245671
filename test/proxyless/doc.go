// Package proxyless has gRPC itself read the bootstrap that the agent writes beside an application without a proxy: its
// xds: scheme finds a server by way of a control plane. It is a module of its own, for the product needs none of what
// gRPC's xDS client does. Read proxyless_test.go.
package proxyless
