package scrape

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/pillion-mesh/pillion/internal/agent/appdial"
)

const headerBytes = 64 << 10

// Applications are the sources of targets.
func Applications(targets []Target, dial *appdial.Dialer) (sources []Source) {
	client := &http.Client{
		Transport: &http.Transport{
			DialContext: dial.DialContext, DisableKeepAlives: true, DisableCompression: true, MaxResponseHeaderBytes: headerBytes,
		},
		CheckRedirect: stayInPod,
	}
	for _, t := range targets {
		page := "http://" + net.JoinHostPort(dial.Host(""), strconv.Itoa(int(t.Port))) + t.Path
		name, _, _ := strings.Cut(page, "?")
		sources = append(sources, Source{Kind: Application, Name: name, Fetch: func(ctx context.Context, header http.Header) (*http.Response, error) {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, page, nil)
			if err != nil {
				return nil, err
			}
			req.Header = header
			resp, err := client.Do(req)
			if whole, ok := errors.AsType[*url.Error](err); ok {
				err = whole.Err // without the URL, whose query may hold a secret
			}
			return resp, err
		}})
	}
	return sources
}

func stayInPod(req *http.Request, via []*http.Request) error {
	if req.URL.Hostname() != via[0].URL.Hostname() || len(via) >= 10 {
		return fmt.Errorf("it redirects to %s", req.URL.Host)
	}
	return nil
}
