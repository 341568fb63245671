package admin

import (
	"net/http"
	"net/url"
	"strings"
)

const loggingUsage = `usage: /logging?<name>=<level> (change single level)
usage: /logging?paths=name1:level1,name2:level2,... (change multiple levels)
usage: /logging?level=<level> (change all levels)
levels: trace debug info warning error critical off
`

// levelChange sets one scope's level; the scope "" is all of them.
type levelChange struct{ scope, level string }

// logging changes levels, all that were asked for or none, and lists them.
func (a *api) logging(w http.ResponseWriter, r *http.Request) {
	changes, err := levelChanges(r.URL.RawQuery)
	for i := 0; i < len(changes) && err == nil; i++ {
		err = a.Logging.Check(changes[i].scope, changes[i].level)
	}
	for i := 0; i < len(changes) && err == nil; i++ {
		err = a.Logging.Set(changes[i].scope, changes[i].level)
	}
	var b strings.Builder
	if err != nil {
		b.WriteString("error: " + err.Error() + "\n\n" + loggingUsage)
		w.WriteHeader(http.StatusBadRequest)
	}
	b.WriteString("active loggers:\n")
	a.Logging.Each(func(name, level string) { b.WriteString("  " + name + ": " + level + "\n") })
	b.WriteByte('\n')
	_, _ = w.Write([]byte(b.String()))
}

// levelChanges reads ?level=L, ?NAME=L or ?paths=a:L,b:L; exactly one of them, or nothing.
func levelChanges(query string) ([]levelChange, error) {
	if query == "" {
		return nil, nil
	}
	values, err := url.ParseQuery(query)
	if err != nil || len(values) != 1 {
		return nil, badRequest("invalid number of parameters")
	}
	for name, all := range values {
		switch {
		case len(all) != 1:
			return nil, badRequest("invalid number of parameters")
		case all[0] == "":
			return nil, badRequest("empty value for " + name)
		case name == "level":
			return []levelChange{{"", all[0]}}, nil
		case name == "paths":
			return pathChanges(all[0])
		case name == "":
			return nil, badRequest("empty logger name")
		default:
			return []levelChange{{name, all[0]}}, nil
		}
	}
	return nil, nil
}

func pathChanges(paths string) (changes []levelChange, err error) {
	for pair := range strings.SplitSeq(paths, ",") {
		scope, level, ok := strings.Cut(pair, ":")
		if !ok || scope == "" || level == "" {
			return nil, badRequest("invalid path " + pair + ", want NAME:LEVEL")
		}
		changes = append(changes, levelChange{scope, level})
	}
	return changes, nil
}
