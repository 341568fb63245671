// Command ads is a control plane for tests on a node: ADS in plaintext on port 15010, and on port 8080 what a test tells
// it. PUT /resources?version=V takes plane.Resources as JSON; GET /refused is the list of what proxies refused.
package main

import (
	"encoding/json"
	"fmt"
	"log"
	"net"
	"net/http"
	"time"

	"github.com/pillion-mesh/pillion/test/ads/plane"
)

// maxResources bounds one PUT, in bytes.
const maxResources = 8 << 20

func main() {
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	p := plane.New()
	l, err := net.Listen("tcp", ":15010")
	if err != nil {
		return err
	}
	failed := make(chan error, 2)
	go func() { failed <- p.Serve(l) }()
	server := &http.Server{Addr: ":8080", Handler: handler(p), ReadHeaderTimeout: 10 * time.Second}
	go func() { failed <- server.ListenAndServe() }()
	return <-failed
}

func handler(p *plane.Plane) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /resources", func(w http.ResponseWriter, r *http.Request) {
		var all plane.Resources
		err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxResources)).Decode(&all)
		if err == nil {
			err = p.Set(r.URL.Query().Get("version"), all)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		_, _ = fmt.Fprintln(w, "set")
	})
	mux.HandleFunc("GET /refused", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(p.Refused())
	})
	return mux
}
