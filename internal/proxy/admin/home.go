package admin

import (
	"html/template"
	"net/http"
)

// page is the home page: a link to each endpoint that reads, a button for each that changes something. It needs no
// script, and none would run.
var page = template.Must(template.New("home").Parse(`<!DOCTYPE html>
<html><head><meta charset="utf-8"><title>Pillion proxy admin</title>
<style>body{font-family:sans-serif}td{padding:2px 12px 2px 0}form{margin:0}</style></head>
<body><h1>Pillion proxy admin</h1><table>
{{range .}}<tr><td>{{if .Post}}<form action="{{.Path}}" method="post"><button>{{.Path}}</button></form>{{else}}<a href="{{.Path}}">{{.Path}}</a>{{end}}</td><td>{{.Help}}</td></tr>
{{end}}</table></body></html>
`))

type homeRow struct {
	Path, Help string
	Post       bool
}

func (a *api) home(w http.ResponseWriter, _ *http.Request) {
	rows := make([]homeRow, 0, len(a.list))
	for i := range a.list {
		rows = append(rows, homeRow{a.list[i].path, a.list[i].help, a.list[i].post})
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'")
	_ = page.Execute(w, rows)
}
