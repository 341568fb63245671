package telemetry

import (
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// Bounds of taps: how many may watch, and how many lines wait for one that reads slowly.
const (
	maxWatchers = 4
	tapQueue    = 256
)

// TapFilter says which requests one wants to see. Empty fields take all.
type TapFilter struct {
	Path         string // prefix
	Method       string
	Status       int // exactly
	Class        int // 1 … 5: first digit of the status
	MaxPerSecond int
}

// Tap shows requests to those who watch: a line of JSON when one arrives (req), is answered (rsp) and has ended (end).
// Headers and bodies are never shown. Nobody watching costs a request one load of a flag.
type Tap struct {
	active atomic.Bool
	now    func() time.Time

	mu       sync.Mutex
	next     uint64
	watchers [maxWatchers]*watcher
}

type watcher struct {
	filter TapFilter
	lines  chan []byte
	second int64 // the one taken is of
	taken  int   // requests in that second
}

// NewTap returns a Tap nobody watches.
func NewTap(now func() time.Time) *Tap { return &Tap{now: now} }

// Watch delivers lines until stop is called. Lines a slow reader has no room for are dropped. It fails if too many
// watch.
func (t *Tap) Watch(f TapFilter) (<-chan []byte, func(), error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.watchers {
		if t.watchers[i] == nil {
			t.watchers[i] = &watcher{filter: f, lines: make(chan []byte, tapQueue)}
			t.active.Store(true)
			return t.watchers[i].lines, sync.OnceFunc(func() { t.stop(i) }), nil
		}
	}
	return nil, nil, errors.New("as many watch as may at once")
}

func (t *Tap) stop(i int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	close(t.watchers[i].lines)
	t.watchers[i] = nil
	t.active.Store(t.watchers != [maxWatchers]*watcher{})
}

// tapLine is a line. What isn't known yet is left out.
type tapLine struct {
	Event    string `json:"event"` // req, rsp, end
	ID       uint64 `json:"id"`
	At       string `json:"at,omitempty"`
	Source   string `json:"source,omitempty"`
	Dest     string `json:"destination,omitempty"`
	Peer     string `json:"principal,omitempty"`
	Dir      string `json:"direction,omitempty"`
	Protocol string `json:"protocol,omitempty"`
	Method   string `json:"method,omitempty"`
	Host     string `json:"host,omitempty"`
	Path     string `json:"path,omitempty"`
	Route    string `json:"route,omitempty"`
	Cluster  string `json:"cluster,omitempty"`
	Upstream string `json:"upstream,omitempty"`
	Status   int    `json:"status,omitempty"`
	Flags    string `json:"flags,omitempty"`
	Details  string `json:"details,omitempty"`
	MS       *int64 `json:"ms,omitempty"`
	In       uint64 `json:"bytes_in,omitempty"`
	Out      uint64 `json:"bytes_out,omitempty"`
}

// Request is called when a request's head is there. It chooses who sees the exchange and notes that in x.
func (t *Tap) Request(x *stream.Exchange) {
	if !t.active.Load() {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	second := t.now().Unix()
	var chosen uint64
	for i, w := range t.watchers {
		if w != nil && w.wants(x, second) {
			chosen |= 1 << i
		}
	}
	if chosen == 0 {
		return
	}
	t.next++
	x.Tap = t.next<<maxWatchers | chosen
	t.send(x, requestLine(x), func(w *watcher) bool { return !w.filter.byStatus() })
}

// wants takes a request by its head, up to so many in a second. With a status wanted the rate counts at the end.
func (w *watcher) wants(x *stream.Exchange, second int64) bool {
	f := &w.filter
	if !strings.HasPrefix(x.Request.Path, f.Path) || f.Method != "" && f.Method != x.Request.Method {
		return false
	}
	return f.byStatus() || w.admit(second)
}

func (f *TapFilter) byStatus() bool { return f.Status != 0 || f.Class != 0 }

func (f *TapFilter) takes(status int) bool {
	return (f.Status == 0 || f.Status == status) && (f.Class == 0 || f.Class == status/100)
}

func (w *watcher) admit(second int64) bool {
	if w.second != second {
		w.second, w.taken = second, 0
	}
	w.taken++
	return w.filter.MaxPerSecond <= 0 || w.taken <= w.filter.MaxPerSecond
}

// Response is called when the answer's head is there.
func (t *Tap) Response(x *stream.Exchange) {
	if x.Tap == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	x.Tap &^= t.unwanted(x)
	t.send(x, requestLine(x), func(w *watcher) bool { return w.filter.byStatus() }) // they waited for the status
	t.send(x, tapLine{Event: "rsp", Status: x.Response.Status, Cluster: x.ClusterName, Upstream: addressText(x), Route: routeOf(x)}, everyone)
}

func everyone(*watcher) bool { return true }

// unwanted are those chosen by status whom this one doesn't concern, or who have seen enough this second.
func (t *Tap) unwanted(x *stream.Exchange) (bits uint64) {
	second := t.now().Unix()
	for i, w := range t.watchers {
		if w == nil || x.Tap&(1<<i) == 0 || !w.filter.byStatus() {
			continue
		}
		if !w.filter.takes(x.Response.Status) || !w.admit(second) {
			bits |= 1 << i
		}
	}
	return bits
}

// End is called when the exchange has ended.
func (t *Tap) End(x *stream.Exchange) {
	if x.Tap == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	ms := x.End.Milliseconds()
	l := tapLine{Event: "end", Status: x.Response.Status, Flags: (x.Flags | x.Conn.Flags).String(), Details: x.Details,
		MS: &ms, In: x.Received, Out: x.Sent, Cluster: x.ClusterName, Upstream: addressText(x)}
	t.send(x, l, func(w *watcher) bool { return w.filter.takes(x.Response.Status) })
}

// send gives a line to those chosen whom it is for.
func (t *Tap) send(x *stream.Exchange, l tapLine, isFor func(*watcher) bool) {
	l.ID = x.Tap >> maxWatchers
	var text []byte
	for i, w := range t.watchers {
		if w == nil || x.Tap&(1<<i) == 0 || !isFor(w) {
			continue
		}
		if text == nil {
			text, _ = json.Marshal(l) // plain data always marshals
			text = append(text, '\n')
		}
		select {
		case w.lines <- text:
		default: // a slow reader loses lines, never a request its time
		}
	}
}

func requestLine(x *stream.Exchange) tapLine {
	l := tapLine{
		Event: "req", At: x.Start.UTC().Format(time.RFC3339Nano), Source: x.Conn.Remote.String(), Dest: x.Conn.Local.String(),
		Peer: x.Conn.Principal(), Dir: x.Conn.Direction.String(), Protocol: x.Protocol.String(),
		Method: x.Request.Method, Host: x.Request.Authority,
	}
	l.Path, _, _ = strings.Cut(x.Request.Path, "?") // queries carry tokens
	return l
}

func routeOf(x *stream.Exchange) string {
	if x.Route == nil {
		return ""
	}
	return x.Route.Name
}

func addressText(x *stream.Exchange) string {
	if !x.Upstream.Remote.IsValid() {
		return ""
	}
	return x.Upstream.Remote.String()
}
