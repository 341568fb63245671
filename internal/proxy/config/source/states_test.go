package source

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net/url"
	"strings"
	"testing"
	"time"

	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/config/source/sizes"
)

func TestInitDump(t *testing.T) {
	s, ads, _ := toySource(t)
	read := func(mask string) string {
		t.Helper()
		var out bytes.Buffer
		if err := s.InitDump(&out, mask); err != nil {
			t.Fatal(err)
		}
		var compact bytes.Buffer
		if err := json.Compact(&compact, out.Bytes()); err != nil {
			t.Fatal(err)
		}
		return compact.String()
	}
	if got := read(""); got != `{"unready_targets_dumps":[{"name":"init manager Server","target_names":["CDS","LDS"]}]}` {
		t.Errorf("at first: %s", got)
	}
	push(t, ads, clusters, "1", toy(clusters, "c", "eds:e secret:s"))
	push(t, ads, listeners, "1", toy(listeners, "l", "route:r"))
	if got := read("listener"); got != `{"unready_targets_dumps":[{"name":"init manager listener l","target_names":["RDS r"]}]}` {
		t.Errorf("listeners: %s", got)
	}
	if got := read(""); !strings.Contains(got, `{"name":"init manager cluster c","target_names":["EDS e","SDS s"]}`) {
		t.Errorf("all: %s", got)
	}
	push(t, ads, endpoints, "1", toy(endpoints, "e", ""))
	push(t, ads, secrets, "1", toy(secrets, "s", ""))
	push(t, ads, routes, "1", toy(routes, "r", ""))
	if got := read(""); got != `{}` || !s.Ready() {
		t.Errorf("at last: %s", got)
	}
}

func TestCerts(t *testing.T) {
	named, err := sizes.Secret("ROOTCA")
	if err != nil {
		t.Fatal(err)
	}
	var secret tlsv3.Secret
	if err := named.Body.UnmarshalTo(&secret); err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(secret.GetValidationContext().GetTrustedCa().GetInlineBytes())
	root, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	s, _, _ := toySource(t)
	cellOf(s.cells.trusts, "ROOTCA").Store(&config.Trust{Roots: []*x509.Certificate{root}})
	cellOf(s.cells.certificates, "default").Store(&config.Certificate{Chain: [][]byte{root.Raw}})
	cellOf(s.cells.certificates, "awaited")
	all := s.Certs()
	if len(all) != 2 || len(all[0].Trust) != 1 || all[0].Trust[0].Path != "ROOTCA" || all[0].Trust[0].Serial != "1" || len(all[1].Chain) != 1 {
		t.Errorf("certificates %+v", all)
	}
}

func TestDescribe(t *testing.T) {
	id, err := url.Parse("spiffe://cluster.local/ns/a/sa/b")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1000, 0)
	c := describe("p", &x509.Certificate{SerialNumber: big.NewInt(0xab), URIs: []*url.URL{id}, DNSNames: []string{"d"}, NotAfter: now.Add(47 * time.Hour)})
	if c.Serial != "ab" || len(c.Names) != 2 || c.Names[0].URI != id.String() || c.Names[1].DNS != "d" || c.Days(now) != 1 || c.Days(now.Add(72*time.Hour)) != 0 {
		t.Errorf("%+v, %d days", c, c.Days(now))
	}
}
