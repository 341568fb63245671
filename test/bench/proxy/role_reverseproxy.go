//go:build linux

package main

import (
	"context"
	"net/http"
	"net/http/httputil"
	"net/url"
)

// runReverseProxy is a proxy as one would write it with net/http, for comparison. args: address, the backend's.
func runReverseProxy(ctx context.Context, args []string) error {
	to := &url.URL{Scheme: "http", Host: args[1]}
	proxy := &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(to) },
		Transport: &http.Transport{MaxIdleConns: 256, MaxIdleConnsPerHost: 256},
	}
	mux := http.NewServeMux()
	for _, host := range hostNames() {
		for _, prefix := range prefixes() {
			mux.Handle(host+prefix, proxy)
		}
	}
	server := &http.Server{Addr: args[0], Handler: mux} //nolint:gosec // measured without limits
	context.AfterFunc(ctx, func() { _ = server.Close() })
	return server.ListenAndServe()
}
