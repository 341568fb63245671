// Package smuggling sends to whole proxies what two parsers could read in two ways, and looks at what a backend makes of
// what comes out: one that notes what it sees (recorder_test.go), and nginx and haproxy before it as second opinions
// (opinions_test.go). Requests of HTTP/1.1 are the corpus of internal/proxy/http/testdata/smuggling (h1_test.go), those of
// HTTP/2 and answers are tables here (h2_test.go, answers_test.go). Proxies come from package rig.
package smuggling
