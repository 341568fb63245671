package inject

import (
	"bytes"
	"cmp"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/pillion-mesh/pillion/internal/inject/rawjson"
)

// maxProbers bounds the environment variable. A process can't be started with one of 128 KiB.
const maxProbers = 64 << 10

var (
	errNoLabel  = errors.New("the name is no DNS label")
	errTooEarly = errors.New("the sidecar starts later; a native one would not")
	errNoPort   = errors.New("it has no port from 1 to 65535")
	errTwice    = errors.New("another container has this name")
	errTooMany  = errors.New("the pod's probes are too long together")
)

// probers are the probes the agent runs in the kubelet's stead, by path.
type probers []prober

type prober struct {
	path string
	text []byte
}

// remember keeps what a probe was, for the agent: its handler with the port's number.
func (r *rewriter) remember(path string, q *question, probe *rawjson.Value, kind string, handler *rawjson.Value, port int64) error {
	if slices.ContainsFunc(r.probers, func(p prober) bool { return p.path == path }) {
		return errTwice
	}
	if named := handler.Get("port").Kind() == rawjson.String; named {
		handler = handler.With("port", rawjson.NewScalar(rawjson.Number, strconv.FormatInt(port, 10)))
	}
	b := make([]byte, 0, 192)
	b = append(append(append(b, `{"`...), kind...), `":`...)
	b = appendSorted(b, handler)
	if !q.hook() { // those have no time limit
		b = strconv.AppendInt(append(b, `,"timeoutSeconds":`...), timeoutOf(probe), 10)
	}
	text := noReferences(append(b, '}'))
	if r.size+len(path)+len(text) > maxProbers {
		return errTooMany
	}
	r.size += len(path) + len(text)
	r.probers = append(r.probers, prober{path, text})
	return nil
}

// appendSorted writes v with all its fields in order: one pod gives one text, also when an earlier injection was taken
// back, which may have put them in another order.
func appendSorted(b []byte, v *rawjson.Value) []byte {
	switch v.Kind() {
	case rawjson.Object:
		b = append(b, '{')
		for i, m := range sortedMembers(v) {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(rawjson.AppendQuoted(b, m.Key), ':')
			b = appendSorted(b, m.Value)
		}
		return append(b, '}')
	case rawjson.List:
		b = append(b, '[')
		for i, item := range v.Items() {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendSorted(b, item)
		}
		return append(b, ']')
	}
	return v.Append(b)
}

func sortedMembers(v *rawjson.Value) []rawjson.Member {
	byKey := func(a, b rawjson.Member) int { return cmp.Compare(a.Key, b.Key) }
	if members := v.Members(); !slices.IsSortedFunc(members, byKey) {
		return slices.SortedStableFunc(slices.Values(members), byKey)
	}
	return v.Members()
}

// noReferences keeps kubelets from replacing $(NAME) in a variable that holds JSON.
func noReferences(text []byte) []byte {
	if bytes.IndexByte(text, '$') < 0 {
		return text
	}
	return bytes.ReplaceAll(text, []byte("$"), []byte(`\u0024`))
}

// timeoutOf is the API's default where a probe has none.
func timeoutOf(probe *rawjson.Value) int64 {
	seconds, _ := number(probe.Get("timeoutSeconds"))
	return max(seconds, 1)
}

// text is a JSON object in the order of the paths, which need no quoting.
func (p probers) text() string {
	slices.SortFunc(p, func(a, b prober) int { return cmp.Compare(a.path, b.path) })
	size := 2
	for _, one := range p {
		size += len(one.path) + len(one.text) + len(`"":,`)
	}
	var b strings.Builder
	b.Grow(size)
	for i, one := range p {
		b.WriteByte("{,"[min(i, 1)])
		b.WriteByte('"')
		b.WriteString(one.path)
		b.WriteString(`":`)
		b.Write(one.text)
	}
	b.WriteByte('}')
	return b.String()
}
