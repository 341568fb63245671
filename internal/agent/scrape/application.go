package scrape

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strconv"

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
		url := "http://" + net.JoinHostPort(dial.Host(""), strconv.Itoa(int(t.Port))) + t.Path
		sources = append(sources, Source{Kind: Application, Name: url, Fetch: func(ctx context.Context, header http.Header) (*http.Response, error) {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
			if err != nil {
				return nil, err
			}
			req.Header = header
			return client.Do(req)
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
