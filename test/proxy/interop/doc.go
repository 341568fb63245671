// Package interop tests the whole proxy, mostly two in a row, with clients and servers that others wrote: gRPC
// (grpc_test.go, the service in service_test.go), WebSocket and other upgrades (upgrade_test.go), net/http and raw sockets
// for what HTTP's versions oblige to (http_test.go, bodies_test.go). Proxies come from package rig.
package interop
