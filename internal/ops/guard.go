package ops

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/pillion-mesh/pillion/internal/istio"
)

// Level is what a caller must be for a request to be answered. The containers of a pod share the network namespace,
// so loopback proves little: the application, and whoever makes it fetch a URL, is localhost too.
type Level uint8

// Levels, from the least to the most trusted.
const (
	Anyone    Level = iota // readiness, metrics, probes
	Loopback               // what only reads
	Ourselves              // what changes something
)

// Guard decides who may do what.
type Guard struct {
	OwnUID uint32 // of this process
	// Peers find out who is at the other end of a connection.
	Peers Peers
	// OnRefused is told of each refusal; nil: nobody is.
	OnRefused func(r *http.Request, why string)
}

// Peers identify callers; *Kernel is the real one.
type Peers interface {
	// UnixUID is the UID of the process that connected a Unix socket.
	UnixUID(*net.UnixConn) (uint32, error)
	// TCPUID is the UID of the process at the other end of a loopback connection. It fails if that can't be proven.
	TCPUID(*net.TCPConn) (uint32, error)
}

// Require passes requests of callers of that level on to next and answers 403 to others, saying what was found.
func (g *Guard) Require(level Level, next http.HandlerFunc) http.HandlerFunc {
	if level == Anyone {
		return next
	}
	return func(w http.ResponseWriter, r *http.Request) {
		if why := g.refuse(level, r); why != "" {
			if g.OnRefused != nil {
				g.OnRefused(r, why)
			}
			Error(w, r, http.StatusForbidden, "forbidden", why)
			return
		}
		next(w, r)
	}
}

// refuse returns why the request must not be answered, or "".
func (g *Guard) refuse(level Level, r *http.Request) string {
	if why := forged(r); why != "" {
		return why
	}
	switch conn := connOf(r).(type) {
	case *net.UnixConn:
		return g.refuseUnix(conn)
	case *net.TCPConn:
		if !isLoopbackPeer(addrOf(conn.RemoteAddr()).Addr()) {
			return "Only requests from localhost are allowed"
		}
		if level == Loopback {
			return ""
		}
		return g.refuseTCP(conn)
	default:
		return "the connection is of an unknown kind"
	}
}

func (g *Guard) refuseUnix(conn *net.UnixConn) string {
	uid, err := g.Peers.UnixUID(conn)
	switch {
	case err != nil:
		return "the peer's credentials can't be read: " + err.Error()
	case uid != 0 && uid != g.OwnUID:
		return fmt.Sprintf("peer uid %d, want %d", uid, g.OwnUID)
	}
	return ""
}

// refuseTCP never trusts UID 0: the kernel says 0 for sockets that are already closed, and applications run as root.
func (g *Guard) refuseTCP(conn *net.TCPConn) string {
	uid, err := g.Peers.TCPUID(conn)
	switch {
	case err != nil:
		return fmt.Sprintf("%v; use pillion-sidecar request", err)
	case uid == 0 || uid != g.OwnUID:
		return fmt.Sprintf("peer uid %d, want %d; use pillion-sidecar request", uid, g.OwnUID)
	}
	return ""
}

// isLoopbackPeer tells the pod's own processes from others. The proxy delivers other people's traffic from 127.0.0.6
// and ::6, so these are not the pod's own.
func isLoopbackPeer(a netip.Addr) bool {
	a = a.Unmap()
	return a.IsLoopback() && a != netip.MustParseAddr(istio.PassthroughV4)
}

// forwardingHeaders are set by browsers and by proxies: such a request was made for somebody else.
var forwardingHeaders = [...]string{"Origin", "Forwarded", "Via"}

var forwardingPrefixes = [...]string{"Sec-Fetch-", "X-Forwarded-", "X-Envoy-"}

// forged returns which header shows that the request was not made by a tool on this host, or "".
func forged(r *http.Request) string {
	if !isLocalHost(r.Host) {
		return fmt.Sprintf("Host %q is not localhost, 127.0.0.1 or [::1]", r.Host)
	}
	for name := range r.Header {
		if IsForwarding(name) {
			return "the header " + name + " is not allowed here"
		}
	}
	return ""
}

// IsForwarding says whether a header, by its canonical name, tells that a request was made for somebody else.
func IsForwarding(name string) bool {
	return slices.Contains(forwardingHeaders[:], name) ||
		slices.ContainsFunc(forwardingPrefixes[:], func(prefix string) bool { return strings.HasPrefix(name, prefix) })
}

func isLocalHost(hostport string) bool {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	switch strings.Trim(host, "[]") {
	case "localhost", "127.0.0.1", "::1":
		return true
	}
	return false
}
