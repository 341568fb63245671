package operatortest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"os"
	"strings"
	"time"

	"github.com/pillion-mesh/pillion/internal/cmd/pillion/operator"
	"github.com/pillion-mesh/pillion/internal/controller/servingcert/rotation"
)

// endpointsEnv names the file that has the addresses of ready replicas.
const endpointsEnv = "PILLION_TEST_ENDPOINTS"

// ShortTimes let a rotation take seconds, on a machine where one look may take one of them.
func ShortTimes() rotation.Times {
	return rotation.Times{
		Look: time.Second, Retry: 100 * time.Millisecond, Settle: 2 * time.Second, ProbeEvery: 300 * time.Millisecond,
		ProbeOffSettle: 4 * time.Second, Jitter: time.Second, Retire: 2 * time.Second, Stale: 20 * time.Second, Nap: 3 * time.Second,
		Spare: 10 * time.Minute, Stuck: 30 * time.Second, Skew: time.Hour, Fast: time.Second,
	}
}

// Rotating is Setup.Configure for tests that change certificates: short times, replicas that find each other, and a
// handshake for each call, since connections that are kept hide what API servers don't trust.
func Rotating(o *operator.Options) {
	o.Times, o.ReplicaAddresses, o.KeepAlive = ShortTimes(), endpoints, false
}

// endpoints are the webhook addresses of ready replicas, as EndpointSlices would have them.
func endpoints() []string {
	text, err := os.ReadFile(os.Getenv(endpointsEnv))
	if err != nil {
		return []string{err.Error()} // nobody answers there, which is told
	}
	return strings.Fields(string(text))
}

// ProbeFlag lets the operator try a CA through the relay, under a name that no webhook has.
func (e *Env) ProbeFlag() string {
	return "--probe-url=" + strings.Replace(e.Service.URL(), "127.0.0.1", "localhost", 1)
}

// Presented is the leaf that a replica serves under a name.
func (r *Replica) Presented(ctx context.Context, name string) (*x509.Certificate, error) {
	dialer := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true, ServerName: name}} //nolint:gosec // to look at it
	c, err := dialer.DialContext(ctx, "tcp", r.Webhook)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.(*tls.Conn).ConnectionState().PeerCertificates[0], nil
}
