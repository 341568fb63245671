package inject

import (
	"slices"
	"strconv"

	"github.com/pillion-mesh/pillion/internal/inject/rawjson"
	"github.com/pillion-mesh/pillion/internal/istio"
)

// Prometheus reads one page of a pod. So that it gets the application's metrics and the sidecar's, that page is the
// agent's, and the agent reads the application's (internal/agent/scrape), told by its environment where it is.

// scrapeKeys are the annotations Prometheus' usual configuration reads.
var scrapeKeys = [...]struct{ key, label, field string }{
	{"prometheus.io/scrape", "prometheus_io_scrape", "scrape"},
	{"prometheus.io/path", "prometheus_io_path", "path"},
	{"prometheus.io/port", "prometheus_io_port", "port"},
	{"prometheus.io/scheme", "prometheus_io_scheme", "scheme"},
}

const (
	scrapeWanted = iota
	scrapePath
	scrapePort
	scrapeScheme
)

// What they say of the agent.
var scrapeTrue, scrapeAgent = rawjson.NewString("true"), rawjson.NewString(istio.PathPrometheus)

// maxScrape bounds an annotation that goes into the environment.
const maxScrape = 2048

// scrapeKeyOf is the place in scrapeKeys of an annotation; -1 if it is another. Prometheus makes a label's name of a
// key, in which all that isn't a letter or digit is "_", so several keys are the same to it.
func scrapeKeyOf(key string) int {
	for i := range scrapeKeys {
		if len(key) == len(scrapeKeys[i].label) && sameLabel(key, scrapeKeys[i].label) {
			return i
		}
	}
	return -1
}

func sameLabel(key, label string) bool {
	for i := range len(key) {
		c := key[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		default:
			c = '_'
		}
		if c != label[i] {
			return false
		}
	}
	return true
}

// scraping is what a pod's annotations say about its metrics.
type scraping struct {
	texts [len(scrapeKeys)]string
	found bool
}

// scrapingOf reads annotations. Of several that mean the same the usual spelling counts, else the first in order.
func scrapingOf(annotations *rawjson.Value) (s scraping) {
	var keys [len(scrapeKeys)]string
	for _, m := range annotations.Members() {
		i := scrapeKeyOf(m.Key)
		if i < 0 {
			continue
		}
		s.found = true
		if usual := scrapeKeys[i].key; keys[i] == "" || m.Key == usual || keys[i] != usual && m.Key < keys[i] {
			keys[i], s.texts[i] = m.Key, m.Value.Text()
		}
	}
	return s
}

// mergePrometheus leads Prometheus to the agent, and the agent to the application.
func (a *assembly) mergePrometheus() {
	annotations := a.metadata.Get("annotations")
	s := a.vars.settings
	if !s.mergePrometheus || s.statusPort == 0 || !a.hasAgent() {
		return
	}
	was := scrapingOf(annotations)
	if wanted, err := strconv.ParseBool(was.texts[scrapeWanted]); err == nil && !wanted || !a.mergeable(&was) {
		return
	}
	if was.found {
		a.setProxyEnv(envPrometheus, was.forAgent(s.statusPort, s.securePort))
	}
	if s.scrapeTargets != "" {
		a.setProxyEnv(envScrapeTargets, s.scrapeTargets)
	}
	a.metadata = a.metadata.With("annotations", was.replaced(annotations, strconv.FormatInt(s.statusPort, 10)))
}

// mergeable says whether the agent can take the metrics over; Prometheus goes on reading them itself if not.
func (a *assembly) mergeable(s *scraping) bool {
	for i, text := range s.texts {
		if len(text) > maxScrape {
			a.warn("annotation %s has more than %d bytes: metrics are not merged", scrapeKeys[i].key, maxScrape)
			return false
		}
	}
	if s.texts[scrapeScheme] == "https" {
		a.warn("%s is https, which the sidecar doesn't speak: metrics are not merged", scrapeKeys[scrapeScheme].key)
		return false
	}
	return true
}

// forAgent is the variable, in Istio's form. The agent isn't to read itself, nor what Prometheus reads over mutual TLS.
func (s *scraping) forAgent(statusPort, securePort int64) string {
	texts := s.texts
	if port, err := strconv.ParseInt(texts[scrapePort], 10, 64); err == nil && (port == statusPort || port == securePort) {
		texts[scrapeWanted] = "false"
	}
	b := append(make([]byte, 0, 128), '{')
	for i, text := range texts {
		if text == "" || i == scrapeScheme {
			continue
		}
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = append(rawjson.AppendQuoted(b, scrapeKeys[i].field), ':')
		b = rawjson.AppendQuoted(b, text)
	}
	return string(noReferences(append(b, '}')))
}

// replaced are annotations that lead to the agent.
func (s *scraping) replaced(annotations *rawjson.Value, port string) *rawjson.Value {
	next := newFields(annotations, 3)
	if s.found {
		next.members = slices.DeleteFunc(next.members, func(m rawjson.Member) bool { return scrapeKeyOf(m.Key) >= 0 })
	}
	next.set(scrapeKeys[scrapeWanted].key, scrapeTrue)
	next.set(scrapeKeys[scrapePort].key, rawjson.NewString(port))
	next.set(scrapeKeys[scrapePath].key, scrapeAgent)
	return next.object()
}
