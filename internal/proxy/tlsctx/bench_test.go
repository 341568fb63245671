package tlsctx

import (
	"crypto/x509"
	"testing"
	"time"
)

// BenchmarkHandshake is a mutual handshake of both sides over loopback, whole and resumed, with a byte each way.
func BenchmarkHandshake(b *testing.B) {
	for _, resumed := range []bool{false, true} {
		name := "whole"
		if resumed {
			name = "resumed"
		}
		b.Run(name, func(b *testing.B) {
			sides := newBoth(b)
			if resumed {
				sides.options.Sessions = NewSessions(sides.client)
			}
			server, client := Server(sides.server), Client(sides.client, sides.options)
			b.ReportAllocs()
			for b.Loop() {
				if r := talk(b, server, client); r.serverErr != nil || r.clientErr != nil {
					b.Fatal(r.serverErr, r.clientErr)
				}
			}
		})
	}
}

// BenchmarkVerify is our part of a handshake: the peer's chain, identity and names.
func BenchmarkVerify(b *testing.B) {
	sides := newBoth(b)
	trust := sides.client.Trust.Load()
	v := verifier{params: &sides.client.TLSParams, trust: trust, usage: x509.ExtKeyUsageServerAuth}
	chain := []*x509.Certificate{sides.server.Certificates[0].Load().Leaf}
	b.ReportAllocs()
	for b.Loop() {
		if err := v.check(chain, time.Now()); err != nil {
			b.Fatal(err)
		}
	}
}
