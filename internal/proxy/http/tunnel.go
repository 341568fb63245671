package http

// Requests that ask for another protocol: upgrades, and CONNECT. Both wait for the upstream's yes before a byte of that
// protocol passes; then bytes go both ways until both have ended.
import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/http/codec"
	"github.com/pillion-mesh/pillion/internal/proxy/http/h1"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
	"github.com/pillion-mesh/pillion/internal/proxy/upstream"
)

// tunnels reports whether the request asks for another protocol. It has no body then: what its client sends is that
// protocol's, or nobody's.
func (c *call) tunnels() bool {
	r := &c.x.Request
	return r.Upgrade != "" || r.Method == http.MethodConnect
}

// upgrade is what upgrade_configs must list for the request; empty: nothing. CONNECT without a route is nobody's, and
// gets the answer of all requests without one.
func (c *call) upgrade() string {
	x := c.x
	if x.Request.Method == http.MethodConnect && x.Route != nil {
		return "connect"
	}
	return x.Request.Upgrade
}

// refuseUpgrade answers a request for a protocol that isn't listed.
func (c *call) refuseUpgrade() *Reply {
	if name := c.upgrade(); name == "" || c.upgradable(name) {
		return nil
	}
	c.m.stats.RqWSOnNonWSRoute.Add(1)
	return &Reply{Status: 403, Details: "upgrade_failed"}
}

// upgradable reports whether the configuration lists an upgrade, on the route or the manager.
func (c *call) upgradable(name string) bool {
	if r := c.x.Route; r != nil && r.Forward != nil {
		if allowed, listed := r.Forward.Upgrades[name]; listed {
			return allowed
		}
	}
	return c.m.cfg.Upgrades[name]
}

// connectTarget checks what CONNECT names: it must have a port (RFC 9110 9.3.6).
func (c *call) connectTarget() *Reply {
	r := &c.x.Request
	if r.Method != http.MethodConnect {
		return nil
	}
	colon := strings.LastIndexByte(r.Authority, ':')
	if port, err := strconv.ParseUint(r.Authority[colon+1:], 10, 16); colon > 0 && err == nil && port > 0 {
		return nil
	}
	return &Reply{Status: 400, Details: "connect_without_port", Flags: stream.DownstreamProtocolError}
}

// open returns a stream to host. A CONNECT that ends here, or a POST that does as well, gets the connection itself.
func (c *call) open(host *upstream.Host) (codec.Upstream, error) {
	to, method := c.x.Route.Forward.Connect, c.x.Request.Method
	if to != nil && (method == http.MethodConnect || to.Post && method == http.MethodPost) {
		return c.openBare(host, to.Header)
	}
	return c.connectTo(host)
}

// openBare dials, and says whom the connection is for, if header isn't nil. The transport socket offers its own ALPN: what
// istio.alpn says is for HTTP.
func (c *call) openBare(host *upstream.Host, header *config.ProxyHeader) (codec.Upstream, error) {
	ctx, release := c.context(connectTimeout(c.x.Cluster) + time.Second) // Dial keeps the timeout itself
	defer release()
	options := c.dialOptions()
	options.ALPN = nil
	conn, err := c.forward.target.cluster.Dial(ctx, host, options)
	if err != nil {
		return nil, err
	}
	if header != nil {
		if err := upstream.Introduce(ctx, conn.Conn, header, c.conn); err != nil {
			_ = conn.Close()
			return nil, err
		}
	}
	c.forward.reused = false
	c.known(conn, stream.NoProtocol)
	return h1.NewTunnel(conn.Conn, conn), nil
}

// opens reports whether the upstream's answer begins the other protocol.
func (c *call) opens() bool {
	status := c.x.Response.Status
	return status == http.StatusSwitchingProtocols || c.x.Request.Method == http.MethodConnect && status/100 == 2
}

// brokenTunnel is what the client is told when a tunnel's upstream breaks: RFC 9113 8.5, RFC 8441 5.
func (c *call) brokenTunnel() codec.Reason {
	if c.x.Request.Method == http.MethodConnect {
		return codec.ConnectFailure
	}
	return codec.LocalReset
}

// refusedTunnel reports whether CONNECT was answered with no. A client that didn't wait for that has sent bytes which
// mustn't be taken for its next request.
func (c *call) refusedTunnel() bool {
	return c.x.Request.Method == http.MethodConnect && c.x.Response.Status/100 != 2
}

// tunnel passes the yes on and relays both ways, until both sides have ended.
func (c *call) tunnel() {
	c.x.Response.Length = -1
	if !c.writeHead(false) {
		return
	}
	c.timers.drop(routeDeadline)
	c.timers.drop(goneDeadline)
	c.timers.drop(requestDeadline)
	c.m.stats.CxUpgrades.Add(1)
	c.m.stats.CxUpgradesActive.Add(1)
	defer c.m.stats.CxUpgradesActive.Add(-1)
	c.forward.times.Route = 0
	c.request.tunnel(c, c.forward.stream)
	defer c.countTunnel()
	if !c.answerBody() {
		return
	}
	c.request.pump.Wait()
	switch {
	case c.request.unsent != nil && c.timers.causes.Load() == 0:
		c.upstreamFailed(c.request.unsent)
	case !c.request.finished.Load():
		c.cutFlags()
		c.down.Reset(codec.LocalReset)
	}
}

// countTunnel stops what may still come from the client, and counts what went through.
func (c *call) countTunnel() {
	c.request.stop(c)
	c.m.stats.RxBytes.Add(c.x.Received)
	c.m.stats.TxBytes.Add(c.x.Sent)
	stats := c.forward.target.cluster.Stats
	stats.TxBytes.Add(c.x.Received)
	stats.RxBytes.Add(c.x.Sent)
}
