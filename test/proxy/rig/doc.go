// Package rig makes a whole proxy in a test's process: the real proxy.Server with real sockets, fed by an Envoy bootstrap
// or over ADS, so that the race detector and the counts of goroutines and descriptors see all of it. Read proxy.go first,
// then config.go (pieces of configuration), plane.go (a control plane), backend.go, certs.go and settled.go.
//
// Beside it are the tests of the whole proxy: package interop (gRPC, WebSocket, HTTP of all versions, mostly through two
// proxies in a row), smuggling (requests that two parsers could read in two ways) and chaos (failing peers, updates under
// load; PILLION_SOAK=10m makes it last).
package rig
