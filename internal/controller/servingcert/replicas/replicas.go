// Package replicas looks at the certificate that each replica of the operator really serves. What a replica says of
// itself, or a Secret of all, is no evidence: a stuck one may still serve what was replaced long ago.
//
// In come the endpoints of the Service (endpoints.go), out goes one Served for each: the leaf of a TLS handshake, or why
// there was none. It decides nothing. Read this file first.
package replicas

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"
)

const (
	dialTimeout = 2 * time.Second // for connection and handshake of one address
	atOnce      = 16
)

// Served is what one replica serves.
type Served struct {
	Name    string // of the pod; its address where none is known
	Address string // host:port: the one that answered, or the last one tried
	Leaf    *x509.Certificate
	Fault   error // why there is no Leaf
}

// Endpoint is one replica that clients may be sent to.
type Endpoint struct {
	Name      string
	Addresses []string // host:port; any of them is the same process
	Fault     error    // why there are no Addresses
}

// Looker looks at all replicas.
type Looker struct {
	Endpoints  func(ctx context.Context) ([]Endpoint, error) // FromService, or those of an operator outside the cluster
	ServerName string                                        // SNI: of the Service, whose leaf is asked for
	Dial       func(ctx context.Context, network, address string) (net.Conn, error)
}

// Look asks each replica once, some at a time. An error means that the replicas aren't known; what is wrong with one is
// its Fault. The result is sorted by name.
func (l *Looker) Look(ctx context.Context) ([]Served, error) {
	endpoints, err := l.Endpoints(ctx)
	if err != nil {
		return nil, err
	}
	served := make([]Served, len(endpoints))
	slots := make(chan struct{}, atOnce)
	var wait sync.WaitGroup
	for i, e := range endpoints {
		slots <- struct{}{}
		wait.Go(func() {
			defer func() { <-slots }()
			served[i] = l.one(ctx, e)
		})
	}
	wait.Wait()
	slices.SortFunc(served, func(a, b Served) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Address, b.Address))
	})
	return served, ctx.Err()
}

// one tries a replica's addresses until one answers: of two families, a network may carry only one.
func (l *Looker) one(ctx context.Context, e Endpoint) Served {
	s := Served{Name: e.Name}
	var faults []error
	for _, address := range e.Addresses {
		leaf, err := l.handshake(ctx, address)
		s.Address = address
		if err == nil {
			s.Leaf = leaf
			return s
		}
		faults = append(faults, err)
	}
	s.Fault = errors.Join(append(faults, e.Fault)...)
	if s.Fault == nil {
		s.Fault = errors.New("it has no address")
	}
	return s
}

func (l *Looker) handshake(ctx context.Context, address string) (*x509.Certificate, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	raw, err := l.Dial(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("connecting to %s: %w", address, err)
	}
	defer raw.Close()
	conn := tls.Client(raw, &tls.Config{
		ServerName: l.ServerName,
		MinVersion: tls.VersionTLS12,
		// Whatever it serves is the answer. That it has the leaf's key, the handshake proves; whose leaf it is, the caller
		// verifies.
		InsecureSkipVerify: true,
	})
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("TLS handshake with %s: %w", address, lasting(err))
	}
	return conn.ConnectionState().PeerCertificates[0], nil // a TLS server has no handshake without one
}

// lasting is an error without the port on this side, another each time: the text goes into a status, which would be
// written at every look.
func lasting(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}
