package http

// Upgrades from one version of HTTP to another. HTTP/2 asks for a WebSocket by extended CONNECT and gets 200, without the
// key and its answer that prove to HTTP/1.1's client that the server meant it (RFC 8441 5, RFC 6455 4): there HTTP/2's
// framing does. So whoever translates makes up the one and answers the other.
import (
	"crypto/sha1" //nolint:gosec // RFC 6455 wants it; nothing is kept secret by it
	"encoding/base64"
	"encoding/binary"
	"net/http"

	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

const (
	webSocket        = "websocket"
	webSocketKeyName = "sec-websocket-key"
	webSocketAnswer  = "sec-websocket-accept"
)

// upgradeRequest gives the request what the upstream's version asks of an upgrade.
func (c *call) upgradeRequest() {
	x, r := c.x, &c.x.Request
	if r.Upgrade != webSocket || x.Protocol != stream.HTTP2 || x.Upstream.Protocol != stream.HTTP11 {
		return
	}
	if _, there := r.Fields.Get(webSocketKeyName); !there {
		c.forward.webSocketKey = c.newWebSocketKey()
		r.Fields.Add(webSocketKeyName, c.forward.webSocketKey)
	}
}

// newWebSocketKey needs to be new and not to be secret.
func (c *call) newWebSocketKey() string {
	var nonce [16]byte
	binary.NativeEndian.PutUint64(nonce[:8], c.engine.opts.Random())
	binary.NativeEndian.PutUint64(nonce[8:], c.engine.opts.Random())
	return base64.StdEncoding.EncodeToString(nonce[:])
}

// upgradeAnswer makes the upstream's yes one the client's version understands. False is an answer that would mean
// something else to the client than it does: 200 instead of 101, which is HTTP/2's yes, or a WebSocket's with a wrong
// answer to the key made up here.
func (c *call) upgradeAnswer() bool {
	x := c.x
	if x.Response.Status != http.StatusSwitchingProtocols {
		return x.Protocol != stream.HTTP2 || x.Response.Status/100 != 2
	}
	fields := &x.Response.Fields
	if key := c.forward.webSocketKey; key != "" {
		answer, _ := fields.Get(webSocketAnswer)
		fields.Remove(webSocketAnswer)
		return answer == acceptKey(key)
	}
	if x.Protocol == stream.HTTP2 || x.Upstream.Protocol != stream.HTTP2 {
		return true
	}
	fields.Set("upgrade", x.Request.Upgrade)
	if key, there := x.Request.Fields.Get(webSocketKeyName); there && x.Request.Upgrade == webSocket {
		fields.Set(webSocketAnswer, acceptKey(key))
	}
	return true
}

// acceptKey is the answer to a Sec-WebSocket-Key (RFC 6455 4.2.2).
func acceptKey(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) //nolint:gosec // see above
	return base64.StdEncoding.EncodeToString(sum[:])
}
