package http

// Clusters with auto_sni and auto_san_validation: TLS to their hosts is for the host the request names.
import "github.com/pillion-mesh/pillion/internal/proxy/upstream"

// namesHost reports whether connections to the cluster depend on the request's host, so that others can't share them.
func (c *call) namesHost() bool {
	cfg := &c.x.Cluster.HTTP
	return (cfg.AutoSNI || cfg.AutoSAN) && c.forward.host != nil && upstream.TransportOf(c.x.Cluster, c.forward.host.Endpoint()) != nil
}

// hostNames is what TLS is told of the request's host, as it was before the route changed it: the SNI, which is a name
// and never an address, and what the certificate must be for.
func (c *call) hostNames() (sni, name string) {
	authority := c.forward.authority
	if authority == "" {
		authority = c.x.Request.Authority // a call of our own
	}
	return upstream.HostNames(c.x.Cluster, authority)
}
