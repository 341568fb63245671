package sidecar

import (
	"context"
	"fmt"
	"net"

	"github.com/pillion-mesh/pillion/internal/agent"
	"github.com/pillion-mesh/pillion/internal/agent/control"
	"github.com/pillion-mesh/pillion/internal/proxy"
	"github.com/pillion-mesh/pillion/internal/proxy/config/xds"
)

// alone runs a proxy without an agent: its sockets are those the bootstrap names.
type alone struct{ sockets map[string]string }

func newAlone(b *xds.BootstrapConfig, s agent.Settings) alone {
	a := alone{map[string]string{}}
	switch {
	case b == nil: // every connection to where it was going, on the ports of a sidecar
		a.sockets[proxy.SocketOutbound] = fmt.Sprintf(":%d", s.OutboundPort)
		if s.InboundPort != s.OutboundPort {
			a.sockets[proxy.SocketInbound] = fmt.Sprintf(":%d", s.InboundPort)
		}
	case b.AdminAddress != "":
		a.sockets[proxy.SocketAdmin] = b.AdminAddress
	}
	return a
}

// Run serves operators at once, and applications once the configuration is there, until ctx ends.
func (a alone) Run(ctx context.Context, s control.Service) error {
	sockets := map[string]net.Listener{}
	for name, address := range a.sockets {
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
		if err != nil {
			return fmt.Errorf("listening: %w", err)
		}
		sockets[name] = l
	}
	if err := s.Take(sockets); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return nil
	case <-s.Warm():
	}
	if err := s.Accept(); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// validated ends a proxy that only had to read its bootstrap.
func validated(server *proxy.Server, p Process) int {
	ctx, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	server.Close(ctx)
	fmt.Fprintln(p.Stdout, "configuration OK")
	return 0
}
