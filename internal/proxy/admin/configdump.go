package admin

import (
	"io"
	"net/http"
)

func (a *api) configDump(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	streamed(w, jsonType, func(out io.Writer) error { return a.Config.Dump(out, query) })
}

func (a *api) initDump(w http.ResponseWriter, r *http.Request) {
	mask := r.URL.Query().Get("mask")
	streamed(w, jsonType, func(out io.Writer) error { return a.Config.InitDump(out, mask) })
}
