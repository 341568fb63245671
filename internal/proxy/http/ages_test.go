package http

import (
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// TestConnectionAges: a connection that has lasted as long as it may is left by GOAWAY, or with its next answer.
func TestConnectionAges(t *testing.T) {
	backend := served(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") })
	for name, c := range map[string]config.Codec{"1.1": config.CodecHTTP1, "2": config.CodecHTTP2} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, []string{backend}, func(r *rig) { r.cfg.Codec, r.cfg.MaxConnectionDuration = c, 100*time.Millisecond })
			client := r.client()
			if c == config.CodecHTTP2 {
				client = r.h2Client()
			}
			stats := r.store.HTTP("test")
			eventually(t, func() bool {
				if answer, err := client.Get("http://" + r.address); err == nil { // else the connection ended as we asked
					_, _ = io.Copy(io.Discard, answer.Body)
					answer.Body.Close()
				}
				return stats.CxTotal.Load() > 1
			}, func() string { return "one connection lasts for ever" })
			if c == config.CodecHTTP2 && stats.CxMaxDuration.Load() == 0 {
				t.Error("not counted")
			}
		})
	}
}

// TestDrainByAnswers: a client of HTTP/2 whose configuration is gone is told to go with an answer.
func TestDrainByAnswers(t *testing.T) {
	backend := served(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") })
	r := newRig(t, []string{backend}, func(r *rig) { r.cfg.Codec = config.CodecHTTP2 })
	client := r.h2Client()
	r.do(client, "GET", "/", "")
	r.engine.Apply(config.NewRuntime(nil, nil))
	eventually(t, func() bool {
		r.do(client, "GET", "/", "")
		return r.store.HTTP("test").CxTotal.Load() > 1
	}, func() string { return "the client stays" })
}
