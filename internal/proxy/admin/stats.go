// Package admin serves what the proxy says about itself over HTTP: today its metrics, on port 15090 and on the Unix
// socket the agent reads. A function that returns the text comes in, a handler goes out.
package admin

import (
	"net/http"

	"github.com/pillion-mesh/pillion/internal/istio"
	"github.com/pillion-mesh/pillion/internal/ops"
	"github.com/pillion-mesh/pillion/internal/ops/exposition"
)

// Stats returns the handler of GET /stats/prometheus; everything else is 404.
func Stats(text func() []byte) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc(istio.PathPrometheus, ops.Get(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", exposition.ContentType)
		_, _ = w.Write(text())
	}))
	return mux
}
