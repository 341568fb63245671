package admin

import (
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// Explainer says what would happen to a connection or request, step by step with the reasons, without making one.
type Explainer interface {
	Explain(w io.Writer, q Question) error
}

// Question is the connection or request asked about. What wasn't given is empty; Src then stands for any client.
type Question struct {
	Direction config.Direction
	Dst, Src  netip.AddrPort
	Principal string // of the client, spiffe://…; empty: plaintext
	SNI       string
	ALPN      []string
	Method    string
	Host      string
	Path      string
	Headers   [][2]string
	JSON      bool
}

// maxQuestionHeaders bounds the headers of a question.
const maxQuestionHeaders = 100

func (a *api) explain(w http.ResponseWriter, r *http.Request) {
	if a.Explainer == nil {
		fail(w, http.StatusNotImplemented, "this proxy explains nothing\n")
		return
	}
	q, err := question(r.URL.Query())
	if err != nil {
		failWith(w, err)
		return
	}
	contentType := "text/plain; charset=utf-8"
	if q.JSON {
		contentType = jsonType
	}
	streamed(w, contentType, func(out io.Writer) error { return a.Explainer.Explain(out, q) })
}

// explainUsage ends each error.
const explainUsage = "\nusage: /explain?direction=inbound|outbound&dst=IP:PORT&src=IP:PORT&principal=&sni=&alpn=a,b&method=&host=&path=&header=NAME:VALUE"

func question(v url.Values) (q Question, err error) {
	q = Question{
		Principal: v.Get("principal"), SNI: strings.ToLower(v.Get("sni")), Method: v.Get("method"), Host: v.Get("host"),
		Path: v.Get("path"), JSON: v.Get("format") == "json",
	}
	if alpn := v.Get("alpn"); alpn != "" {
		q.ALPN = strings.Split(alpn, ",")
	}
	for _, step := range []func(*Question, url.Values) error{unknownKeys, direction, destination, source, headers} {
		if err := step(&q, v); err != nil {
			return q, badRequest(err.Error() + explainUsage)
		}
	}
	return q, nil
}

var questionKeys = []string{"direction", "dst", "src", "principal", "sni", "alpn", "method", "host", "path", "header", "format"}

// unknownKeys: a misspelt parameter would make the answer one to another question.
func unknownKeys(_ *Question, v url.Values) error {
	for key := range v {
		if !contains(questionKeys, key) {
			return badRequest("the parameter " + strconv.Quote(key) + " is unknown")
		}
	}
	return nil
}

func direction(q *Question, v url.Values) error {
	switch text := v.Get("direction"); text {
	case "", "outbound":
	case "inbound":
		q.Direction = config.Inbound
	default:
		return badRequest("the direction " + strconv.Quote(text) + " is not inbound or outbound")
	}
	return nil
}

func destination(q *Question, v url.Values) error {
	dst, err := netip.ParseAddrPort(v.Get("dst"))
	if err != nil {
		return badRequest("dst " + strconv.Quote(v.Get("dst")) + " is not IP:PORT")
	}
	q.Dst = netip.AddrPortFrom(dst.Addr().Unmap(), dst.Port())
	return nil
}

func source(q *Question, v url.Values) error {
	text := v.Get("src")
	if text == "" {
		return nil
	}
	if ip, err := netip.ParseAddr(text); err == nil {
		q.Src = netip.AddrPortFrom(ip.Unmap(), 0)
		return nil
	}
	src, err := netip.ParseAddrPort(text)
	if err != nil {
		return badRequest("src " + strconv.Quote(text) + " is not IP or IP:PORT")
	}
	q.Src = netip.AddrPortFrom(src.Addr().Unmap(), src.Port())
	return nil
}

func headers(q *Question, v url.Values) error {
	if len(v["header"]) > maxQuestionHeaders {
		return badRequest("there are more than 100 headers")
	}
	for _, text := range v["header"] {
		name, value, ok := strings.Cut(text, ":")
		if name = strings.ToLower(strings.TrimSpace(name)); !ok || name == "" {
			return badRequest("the header " + strconv.Quote(text) + " is not NAME:VALUE")
		}
		q.Headers = append(q.Headers, [2]string{name, strings.TrimSpace(value)})
	}
	return nil
}
