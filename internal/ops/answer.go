package ops

import (
	"encoding/json"
	"net/http"
	"strings"
)

// Get answers GET and HEAD with f and everything else with 405.
func Get(f http.HandlerFunc) http.HandlerFunc { return only(f, http.MethodGet, http.MethodHead) }

// Post answers POST with f and everything else with 405.
func Post(f http.HandlerFunc) http.HandlerFunc { return only(f, http.MethodPost) }

func only(f http.HandlerFunc, methods ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		for _, m := range methods {
			if r.Method == m {
				f(w, r)
				return
			}
		}
		w.Header().Set("Allow", strings.Join(methods, ", "))
		Error(w, r, http.StatusMethodNotAllowed, "method_not_allowed", "method "+r.Method+" not allowed, "+methods[0]+" required")
	}
}

// Text answers 200 with a text that is sent as it is.
func Text(w http.ResponseWriter, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte(text))
}

// JSON answers 200 with v.
func JSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

// WantsJSON reports whether the caller asked for JSON instead of text.
func WantsJSON(r *http.Request) bool {
	return r.URL.Query().Get("format") == "json" || strings.Contains(r.Header.Get("Accept"), "application/json")
}

// Error answers with a status, in text or, if the caller wants it, as {"error":{"code","message"}}.
func Error(w http.ResponseWriter, r *http.Request, status int, code, message string) {
	if !WantsJSON(r) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(status)
		_, _ = w.Write([]byte("error: " + message + "\n"))
		return
	}
	type body struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]body{"error": {code, message}})
}
