package admin

import (
	"net/http"
	"net/url"
)

// RuntimeValues are the layered runtime: values by key, in layers of which the last wins.
type RuntimeValues interface {
	Layers() []string
	// Entries returns the values of each key, one a layer, "" where a layer hasn't got it.
	Entries() map[string][]string
	// Modify sets keys in the admin layer; an empty value deletes. It fails if there is no such layer.
	Modify(values map[string]string) error
}

type runtimeJSON struct {
	Layers  []string                    `json:"layers"`
	Entries map[string]runtimeEntryJSON `json:"entries"`
}

type runtimeEntryJSON struct {
	Layers []string `json:"layer_values"`
	Final  string   `json:"final_value"`
}

func (a *api) runtime(w http.ResponseWriter, _ *http.Request) {
	all := runtimeJSON{Layers: append([]string{}, a.Values.Layers()...), Entries: map[string]runtimeEntryJSON{}}
	for key, values := range a.Values.Entries() {
		all.Entries[key] = runtimeEntryJSON{values, final(values)}
	}
	indented(w, all)
}

// final is the last layer's value that isn't empty.
func final(values []string) string {
	for i := len(values) - 1; i >= 0; i-- {
		if values[i] != "" {
			return values[i]
		}
	}
	return ""
}

func (a *api) runtimeModify(w http.ResponseWriter, r *http.Request) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil || len(query) == 0 {
		fail(w, http.StatusBadRequest, "usage: /runtime_modify?key1=value1&key2=value2&keyN=valueN\n"+
			"use an empty value to remove a previously added override\n")
		return
	}
	values := make(map[string]string, len(query))
	for key := range query {
		values[key] = query.Get(key)
	}
	if err := a.Values.Modify(values); err != nil {
		fail(w, http.StatusServiceUnavailable, err.Error()+"\n")
		return
	}
	ok(w)
}
