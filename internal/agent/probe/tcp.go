package probe

import (
	"context"
	"net"
	"net/http"
)

// connectTCP succeeds if a connection is made; nothing is said on it.
func (h *Handler) connectTCP(ctx context.Context, to *tcpSocket) (answer, error) {
	conn, err := h.dial.DialContext(ctx, "tcp", net.JoinHostPort(h.dial.Host(to.Host), to.Port.String()))
	if err != nil {
		return answer{}, err
	}
	_ = conn.Close()
	return answer{status: http.StatusOK}, nil
}
