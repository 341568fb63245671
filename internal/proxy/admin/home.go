package admin

import (
	"fmt"
	"html"
	"io"
	"net/http"
)

// The home page: a link to each endpoint that reads, a button for each that changes something. It needs no script, and
// none would run. It is put together without html/template, which calls methods by name: a program with it keeps every
// method of every type, a third of its size.
const (
	pageHead = `<!DOCTYPE html>
<html><head><meta charset="utf-8"><title>Pillion proxy admin</title>
<style>body{font-family:sans-serif}td{padding:2px 12px 2px 0}form{margin:0}</style></head>
<body><h1>Pillion proxy admin</h1><table>
`
	pageRead   = `<tr><td><a href="%[1]s">%[1]s</a></td><td>%[2]s</td></tr>` + "\n"
	pageChange = `<tr><td><form action="%[1]s" method="post"><button>%[1]s</button></form></td><td>%[2]s</td></tr>` + "\n"
	pageEnd    = "</table></body></html>\n"
)

func (a *api) home(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'")
	_, _ = io.WriteString(w, pageHead)
	for i := range a.list {
		row := pageRead
		if a.list[i].post {
			row = pageChange
		}
		_, _ = fmt.Fprintf(w, row, html.EscapeString(a.list[i].path), html.EscapeString(a.list[i].help))
	}
	_, _ = io.WriteString(w, pageEnd)
}
