// Package chaos runs whole proxies among peers that fail (storm_test.go), while their configuration changes
// (updates_test.go) and their certificates do (rotation_test.go). What must hold whatever happens is in account_test.go:
// no panic, goroutines, descriptors and memory back to where they were, no answer from a cluster that the routes of its
// time don't name, and for every request a line of the log that says by a flag what the client saw go wrong.
//
// Each takes a few seconds. PILLION_SOAK=10m makes the storm and the updates last that long.
package chaos
