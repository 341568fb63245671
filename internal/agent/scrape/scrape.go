// Package scrape answers Prometheus with one page for the whole pod: the agent's metrics, the proxy's, then those of
// the applications. Sources come in, an HTTP handler goes out. A source that fails is counted and left out; the rest
// is streamed. This file first, then negotiate.go (formats, times), merge.go (the text) and targets.go (which
// applications).
package scrape

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/pillion-mesh/pillion/internal/ops"
)

// Bounds of a scrape.
const (
	pageBytes  = 10 << 20 // of one source
	maxScrapes = 8        // at once
)

// Kinds of sources, as Istio's metrics name them.
const (
	Proxy       = "envoy"
	Application = "application"
)

// Source is a page of metrics.
type Source struct {
	Kind  string
	Name  string // for the log
	Fetch func(ctx context.Context, header http.Header) (*http.Response, error)
}

// Scraper serves the merged page.
type Scraper struct {
	own     func() []byte
	failed  func(Source, error)
	sources []Source
	running chan struct{}
}

// New returns a Scraper. own is the agent's page, asked for after the sources have answered; their pages follow in
// their order. failed is told, from any goroutine, which source is missing and why.
func New(own func() []byte, failed func(Source, error), sources ...Source) *Scraper {
	return &Scraper{own: own, failed: failed, sources: sources, running: make(chan struct{}, maxScrapes)}
}

// page is a source's answer.
type page struct {
	source Source
	resp   *http.Response
	cancel context.CancelFunc
}

func (p *page) contentType() string { return p.resp.Header.Get("Content-Type") }
func (p *page) openMetrics() bool   { return isOpenMetrics(p.contentType()) }

func (p *page) close() {
	p.cancel()
	_ = p.resp.Body.Close()
}

// ServeHTTP asks all sources at once and then writes what they answer, one behind the other. Of the scraper's time,
// four fifths are for the first bytes of each, so that a source that hangs costs only its own metrics.
func (s *Scraper) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	select {
	case s.running <- struct{}{}:
		defer func() { <-s.running }()
	default:
		w.Header().Set("Retry-After", "1")
		ops.Error(w, r, http.StatusServiceUnavailable, "busy", fmt.Sprintf("%d scrapes are running", maxScrapes))
		return
	}
	limit := timeout(r.Header)
	ctx, cancel := context.WithTimeout(r.Context(), limit*19/20)
	defer cancel()
	pages := s.fetch(ctx, r.Header, limit*4/5)
	defer closeAll(pages)
	s.write(w, pages)
}

// fetch returns the pages that answered, in the sources' order.
func (s *Scraper) fetch(ctx context.Context, scraper http.Header, wait time.Duration) (pages []*page) {
	several := 0
	for _, source := range s.sources {
		if source.Kind == Application {
			several++
		}
	}
	header := requestHeader(scraper, several > 1)
	answers := make([]*page, len(s.sources))
	var asked sync.WaitGroup
	for i, source := range s.sources {
		asked.Go(func() {
			var err error
			if answers[i], err = fetchOne(ctx, source, header.Clone(), wait); err != nil {
				s.failed(source, err)
			}
		})
	}
	asked.Wait()
	for _, answer := range answers {
		if answer != nil {
			pages = append(pages, answer)
		}
	}
	return pages
}

func fetchOne(ctx context.Context, source Source, header http.Header, wait time.Duration) (*page, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	noAnswer := fmt.Errorf("no answer in %v", wait)
	late := time.AfterFunc(wait, func() { cancel(noAnswer) })
	resp, err := source.Fetch(ctx, header) //nolint:bodyclose // page.close does
	late.Stop()
	p := &page{source, resp, func() { cancel(nil) }}
	switch {
	case err != nil:
		cause := context.Cause(ctx)
		if errors.Is(cause, context.DeadlineExceeded) { // the whole scrape's time, which is hardly longer, was over first
			cause = noAnswer
		}
		if cause != nil && !errors.Is(err, cause) {
			err = fmt.Errorf("%w: %w", cause, err)
		}
		cancel(nil)
		return nil, err
	case resp.StatusCode != http.StatusOK:
		err = fmt.Errorf("the answer is %s", resp.Status)
	case resp.Header.Get("Content-Encoding") != "":
		err = fmt.Errorf("the answer is packed as %q, which wasn't asked for", resp.Header.Get("Content-Encoding"))
	}
	if err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

func closeAll(pages []*page) {
	for _, p := range pages {
		p.close()
	}
}

var errFormat = errors.New("it speaks only OpenMetrics and another application only Prometheus's text format; one page can't be both")

func (s *Scraper) write(w http.ResponseWriter, pages []*page) {
	contentType := agree(pages)
	w.Header().Set("Content-Type", contentType)
	merged := newMerger(w, formOf(contentType))
	if merged.add(bytes.NewReader(s.own())) != nil {
		return
	}
	for _, p := range pages {
		err := errFormat
		if p.source.Kind != Application || p.openMetrics() == isOpenMetrics(contentType) {
			err = merged.add(http.MaxBytesReader(nil, p.resp.Body, pageBytes))
		}
		if errors.Is(err, errGone) {
			return
		}
		if err != nil {
			s.failed(p.source, err)
		}
	}
	if isOpenMetrics(contentType) {
		_, _ = io.WriteString(w, "# EOF\n")
	}
}
