package chaos

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/pillion-mesh/pillion/test/proxy/rig"
)

// TestRotation changes the listener's certificate and trust bundle by SDS while clients come, each on a connection of its
// own. No handshake fails, none shows a certificate older than the one acknowledged before it began, and a connection
// that was there before lives on.
func TestRotation(t *testing.T) {
	before := measure(t)
	t.Run("rotation", func(t *testing.T) {
		plane := rig.NewPlane(t)
		authorities := [2]*rig.CA{rig.NewCA(t), rig.NewCA(t)}
		backend := rig.Served(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "fine") })
		r := rig.Resources{
			Listeners: []rig.JSON{rig.Listener(rig.Manager(nil, rig.ToBackend), rig.TLSBySDS("h2", "http/1.1"))},
			Clusters:  []rig.JSON{rig.Cluster("backend", nil, backend)},
		}
		var accepted atomic.Int64
		say := func(n int) {
			name := "v" + strconv.Itoa(n)
			r.Secrets = []rig.JSON{rig.Secret(authorities[n%2].Issue(name)), rig.Trust(authorities[n%2].PEM + authorities[1-n%2].PEM)}
			plane.Serve(strconv.Itoa(n), r)
		}
		say(0)
		p := rig.Start(t, plane.Bootstrap())
		config := trusting(authorities)
		old := client(config)
		defer old.CloseIdleConnections()
		if version := shown(t, old, p.Address); version != 0 {
			t.Errorf("the first certificate is of version %d", version)
		}

		var load sync.WaitGroup
		var over atomic.Bool
		var handshakes atomic.Int64
		for range 4 {
			load.Go(func() {
				for !over.Load() {
					earliest := accepted.Load()
					fresh := client(config)
					if got := shown(t, fresh, p.Address); got < earliest {
						t.Errorf("a certificate of version %d, %d was acknowledged", got, earliest)
					}
					fresh.CloseIdleConnections()
					handshakes.Add(1)
				}
			})
		}
		const rotations = 30
		for n := 1; n <= rotations; n++ {
			say(n)
			rig.Eventually(t, "the secrets are acknowledged", func() error {
				if got := plane.SecretsAcked(); got != strconv.Itoa(n) {
					return fmt.Errorf("version %s, said %d", got, n)
				}
				return nil
			})
			accepted.Store(int64(n))
		}
		over.Store(true)
		load.Wait()
		if version := shown(t, old, p.Address); version != 0 {
			t.Errorf("the first connection is gone: another one shows version %d", version)
		}
		t.Logf("%d rotations, %d handshakes", rotations, handshakes.Load())
		if refused := plane.Refused(); len(refused) > 0 {
			t.Errorf("refused: %q", refused)
		}
		if n := p.Stat("envoy_listener_ssl_connection_error", nil); n != 0 {
			t.Errorf("%v failed handshakes", n)
		}
	})
	before.back(t)
}

// trusting is a client of the mesh, with a certificate of the first authority. It trusts both.
func trusting(authorities [2]*rig.CA) *tls.Config {
	pool := x509.NewCertPool()
	for _, ca := range authorities {
		pool.AppendCertsFromPEM([]byte(ca.PEM))
	}
	// Names are looked at by shown; here it is the chain that counts.
	verify := func(state tls.ConnectionState) error {
		_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: pool})
		return err
	}
	return &tls.Config{
		Certificates:       []tls.Certificate{authorities[0].Issue("client").TLS()},
		InsecureSkipVerify: true, VerifyConnection: verify,
	}
}

func client(config *tls.Config) *http.Client {
	return &http.Client{Transport: &http.Transport{TLSClientConfig: config.Clone()}, Timeout: rig.Patience}
}

// shown makes a request and returns the version of the certificate that the connection began with; -1: it failed.
func shown(t *testing.T, c *http.Client, address string) int64 {
	resp, err := c.Get("https://" + address + "/")
	if err != nil {
		t.Error(err)
		return -1
	}
	defer resp.Body.Close()
	if text, err := io.ReadAll(resp.Body); err != nil || string(text) != "fine" {
		t.Errorf("%d %q, %v", resp.StatusCode, text, err)
	}
	version, err := strconv.ParseInt(resp.TLS.PeerCertificates[0].DNSNames[0][1:], 10, 64)
	if err != nil {
		t.Error(err)
	}
	return version
}
