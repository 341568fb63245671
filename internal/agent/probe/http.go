package probe

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/pillion-mesh/pillion/internal/ops"
)

// Bounds of what is taken from an application's answer; the kubelet reads no more of a body either.
const (
	bodyBytes   = 10 << 10
	headerBytes = 64 << 10
	redirects   = 10
	idleTime    = 30 * time.Second
)

// httpTransport verifies no certificate: the kubelet doesn't, and a probe's address is in no certificate.
func httpTransport(o Options) *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(!o.HTTP1)
	return &http.Transport{
		DialContext: o.Dial.DialContext, Protocols: protocols, TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		DisableKeepAlives: !o.KeepAlive, DisableCompression: true, IdleConnTimeout: idleTime, MaxIdleConnsPerHost: 1,
		MaxResponseHeaderBytes: headerBytes,
	}
}

func (h *Handler) getHTTP(ctx context.Context, get *httpGet, incoming http.Header) (answer, error) {
	target, err := get.url(h.dial.Host(get.Host))
	if err != nil {
		return answer{}, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return answer{}, err
	}
	get.setHeaders(req, incoming)
	client := http.Client{Transport: h.http, CheckRedirect: sameHost}
	resp, err := client.Do(req)
	if whole, ok := errors.AsType[*url.Error](err); ok {
		err = whole.Err // without the URL, whose query may hold a secret: anybody can read the answer
	}
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	if resp.StatusCode < http.StatusOK {
		return answer{}, fmt.Errorf("the application answered %q, which is no final status", resp.Status)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, bodyBytes))
	if err != nil {
		return answer{}, fmt.Errorf("reading the application's answer: %w", err)
	}
	return answer{resp.StatusCode, body}, nil
}

// url reads the path as the kubelet does: it may have a query, and nothing in it changes whom we call.
func (get *httpGet) url(host string) (string, error) {
	u, err := url.Parse(get.Path)
	if err != nil {
		u = &url.URL{Path: get.Path}
	}
	to := url.URL{Scheme: "http", Host: net.JoinHostPort(host, get.Port.String()), Path: u.Path, RawPath: u.RawPath, RawQuery: u.RawQuery}
	if get.Scheme == "HTTPS" {
		to.Scheme = "https"
	}
	if u.Opaque != "" {
		return "", fmt.Errorf("path is %q, want one that begins with a slash", get.Path)
	}
	return to.String(), nil
}

// connectionHeaders are about the caller's connection to us.
var connectionHeaders = [...]string{
	"Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
}

// setHeaders passes on what the kubelet sent; what the probe itself says replaces it. What a mesh tells about a caller
// isn't passed: anybody may call this port, and the application may trust it.
func (get *httpGet) setHeaders(req *http.Request, incoming http.Header) {
	req.Header = incoming.Clone()
	for _, list := range incoming.Values("Connection") {
		for name := range strings.SplitSeq(list, ",") {
			req.Header.Del(strings.TrimSpace(name))
		}
	}
	for _, name := range connectionHeaders {
		req.Header.Del(name)
	}
	for name := range req.Header {
		if ops.IsForwarding(name) {
			delete(req.Header, name)
		}
	}
	for _, h := range get.Headers {
		req.Header.Del(h.Name)
	}
	for _, h := range get.Headers {
		if strings.EqualFold(h.Name, "Host") || h.Name == ":authority" {
			req.Host = h.Value
			continue
		}
		req.Header.Add(h.Name, h.Value)
	}
}

// sameHost is the kubelet's rule: a redirect to another host is the answer, and a success.
func sameHost(req *http.Request, via []*http.Request) error {
	if req.URL.Hostname() != via[0].URL.Hostname() {
		return http.ErrUseLastResponse
	}
	if len(via) >= redirects {
		return errors.New("stopped after 10 redirects")
	}
	return nil
}
