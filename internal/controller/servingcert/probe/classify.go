package probe

import (
	"context"
	"errors"
	"net"
	"strings"
	"unicode/utf8"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// What an API server writes about a webhook it can't call, and about one that refuses. There is no typed form of either,
// so the text is read strictly from its start: what a webhook or somebody on the network says comes later in it.
const (
	notCalled = `failed calling webhook "` + entryName + `": `
	callFails = "failed to call webhook: " // older ones leave it out
	refused   = `admission webhook "` + entryName + `" denied the request`
)

// Causes of a failed call, as Go's TLS and HTTP clients begin or end them.
var (
	untrusted = []string{"tls: failed to verify certificate: ", "x509: "}
	late      = []string{context.DeadlineExceeded.Error(), "net/http: TLS handshake timeout", "net/http: timeout awaiting response headers", "net/http: request canceled"}
)

// classify tells the result of a Lease that wasn't made, and whether the API server got as far as our webhook. An x509
// error between us and the API server itself is none of the webhook's.
func classify(err error) (result string, reached bool) {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return ofConnection(err), false
	}
	text := cause(status.Status())
	if strings.HasPrefix(text, refused) {
		return ResultOther, true
	}
	text, ours := strings.CutPrefix(text, notCalled)
	if !ours {
		return ResultOther, false
	}
	return ofCall(strings.TrimPrefix(text, callFails)), true
}

// ofConnection is about an API server that didn't answer.
func ofConnection(err error) string {
	var timeout net.Error
	if errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout() {
		return ResultTimeout
	}
	return ResultOther
}

// cause is the error of an internal one, without what the API server puts before it.
func cause(s metav1.Status) string {
	if s.Reason == metav1.StatusReasonInternalError && s.Details != nil && len(s.Details.Causes) > 0 {
		return s.Details.Causes[0].Message
	}
	return s.Message
}

// ofCall reads what follows `Post "URL": `.
func ofCall(text string) string {
	if rest, posted := strings.CutPrefix(text, `Post "`); posted {
		_, text, _ = strings.Cut(rest, `": `)
	}
	switch {
	case startsWith(text, untrusted):
		return ResultX509
	case startsWith(text, late), strings.HasPrefix(text, "dial tcp ") && strings.HasSuffix(text, ": i/o timeout"):
		return ResultTimeout
	}
	return ResultOther
}

func startsWith(text string, any []string) bool {
	for _, start := range any {
		if strings.HasPrefix(text, start) {
			return true
		}
	}
	return false
}

// maxText bounds what others say, for logs, Events and the status.
const maxText = 500

func clip(text string) string {
	if len(text) <= maxText {
		return text
	}
	end := maxText
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + "…"
}
