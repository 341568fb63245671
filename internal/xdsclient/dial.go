package xdsclient

import (
	"context"
	"net"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
)

// dial returns a connection that isn't made before the first stream.
func (c *Client) dial() (*grpc.ClientConn, error) {
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(c.credentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage), grpc.MaxCallSendMsgSize(maxMessage)),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: keepAlive, Timeout: keepAliveGrace}),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return c.opts.dial(ctx) }),
		grpc.WithDisableServiceConfig(),
		grpc.WithNoProxy(),
		grpc.WithAuthority(c.opts.authority()),
	}
	// The name stays out of gRPC's resolvers: our dialer looks it up, so that each attempt asks anew.
	return grpc.NewClient("passthrough:///"+c.opts.Address, options...)
}

func (c *Client) credentials() credentials.TransportCredentials {
	if c.opts.TLS == nil {
		return insecure.NewCredentials()
	}
	return credentials.NewTLS(c.opts.TLS.Clone())
}

func (o Options) authority() string {
	switch {
	case o.Authority != "":
		return o.Authority
	case o.TLS != nil && o.TLS.ServerName != "":
		return o.TLS.ServerName
	case strings.HasPrefix(o.Address, "unix:"):
		return "localhost"
	default:
		return o.Address
	}
}

func (o Options) dial(ctx context.Context) (net.Conn, error) {
	if o.Dial != nil {
		return o.Dial(ctx, o.Address)
	}
	if path, ok := strings.CutPrefix(o.Address, "unix:"); ok {
		return (&net.Dialer{}).DialContext(ctx, "unix", strings.TrimPrefix(path, "//"))
	}
	return (&net.Dialer{}).DialContext(ctx, "tcp", o.Address)
}
