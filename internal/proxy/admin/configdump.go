package admin

import (
	"io"
	"net/http"
	"net/url"
)

func (a *api) configDump(w http.ResponseWriter, r *http.Request) {
	q, err := dumpQuery(r.URL.Query())
	if err != nil {
		failWith(w, err)
		return
	}
	streamed(w, jsonType, func(out io.Writer) error { return a.Config.Dump(out, q) })
}

func dumpQuery(values url.Values) (q DumpQuery, err error) {
	q = DumpQuery{Resource: values.Get("resource"), Mask: values.Get("mask"), IncludeEDS: values.Has("include_eds")}
	q.Name, err = filter(values.Get("name_regex"))
	return q, err
}

func (a *api) initDump(w http.ResponseWriter, r *http.Request) {
	mask := r.URL.Query().Get("mask")
	streamed(w, jsonType, func(out io.Writer) error { return a.Config.InitDump(out, mask) })
}
