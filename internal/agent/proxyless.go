package agent

import (
	"errors"
	"io/fs"
	"net"
	"path"

	"github.com/pillion-mesh/pillion/internal/agent/grpcxds"
)

// Where the templates mount what a control plane asks for, in the agent's container and in the application's.
const (
	controlPlaneRoots = "/var/run/secrets/istio/root-cert.pem"
	tokenPath         = "/var/run/secrets/tokens/istio-token" //nolint:gosec // a path
	certificates      = "/var/run/secrets/workload-spiffe-credentials"
)

// plaintextPort is the one of control planes that isn't under TLS.
const plaintextPort = "15010"

// ErrNoDiscovery is what to do about a pod whose control plane isn't known.
var ErrNoDiscovery = errors.New("GRPC_XDS_BOOTSTRAP is set, but no control plane is known to write there: " +
	"want --discoveryAddress, or discoveryAddress in a ProxyConfig")

// grpcBootstrap is what an application beside us that speaks xDS itself has to know. Files that aren't there now are left
// out: gRPC refuses the whole of a bootstrap that names one.
func (s Settings) grpcBootstrap(root fs.FS) (grpcxds.Options, error) {
	if s.DiscoveryAddress == "" {
		return grpcxds.Options{}, ErrNoDiscovery
	}
	node := s.Node()
	o := grpcxds.Options{Server: s.DiscoveryAddress, ID: node.ID, Cluster: node.Cluster, Metadata: node.Metadata}
	_, port, _ := net.SplitHostPort(s.DiscoveryAddress)
	o.TLS = port != plaintextPort
	if exists(root, controlPlaneRoots) {
		o.Roots = controlPlaneRoots
	}
	if exists(root, tokenPath) {
		o.Token = tokenPath
	}
	own := grpcxds.Certs{
		Chain: path.Join(certificates, "cert-chain.pem"), Key: path.Join(certificates, "key.pem"), Roots: path.Join(certificates, "root-cert.pem"),
	}
	if exists(root, own.Chain) && exists(root, own.Key) && exists(root, own.Roots) {
		o.Certs = &own
	}
	return o, nil
}

func exists(root fs.FS, name string) bool {
	if root == nil {
		return false
	}
	_, err := fs.Stat(root, name[1:])
	return err == nil
}

// WriteGRPCBootstrap writes the bootstrap where GRPC_XDS_BOOTSTRAP says, before anything says that we are ready. Without
// that variable the application speaks no xDS, and there is nothing to write.
func (s Settings) WriteGRPCBootstrap(root fs.FS) error {
	if s.GRPCBootstrap == "" {
		return nil
	}
	o, err := s.grpcBootstrap(root)
	if err != nil {
		return err
	}
	text, err := grpcxds.Bootstrap(o)
	if err != nil {
		return err
	}
	return grpcxds.Write(s.GRPCBootstrap, text)
}
