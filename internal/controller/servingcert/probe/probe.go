// Package probe checks the path that admission takes: API server, its copy of our webhook configuration, its
// verification of our certificate, a replica. A configuration of its own, with one entry, sends the API server's question
// about a Lease to Path; the Lease is only asked for (a dry run), never stored. The webhook's patch says which replica
// answered and which CA signed the leaf of that very connection.
//
// In come addresses of API servers (servers.go), out goes one Answer for each. configuration.go renders and keeps the
// webhook configuration, handler.go is the webhook, and classify.go reads what an API server says when it can't call it.
// Read this file first.
package probe

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Path is where API servers ask.
const Path = "/probe"

// What a probe Lease carries: its nonce there, and what the webhook adds to it on the way back.
const (
	Label             = "pillion.dev/probe"
	annotationNonce   = "pillion.dev/probe-nonce"
	annotationReplica = "pillion.dev/probe-replica"
	annotationCA      = "pillion.dev/probe-ca"
)

// Results of a probe, as the metric has them.
const (
	ResultOK      = "ok"
	ResultX509    = "x509" // the API server doesn't trust what a replica serves
	ResultTimeout = "timeout"
	ResultOther   = "other"
)

const (
	webhookTimeout = 5               // seconds the API server waits for us
	patience       = 8 * time.Second // for its answer, which comes after that
	atOnce         = 16              // API servers asked at a time
	namePrefix     = "pillion-probe-"
)

// Answer is what one API server made of a probe.
type Answer struct {
	Server  string // host:port, or the URL of the client's configuration
	Replica string // which answered; "" if none did
	CA      string // fingerprint of the CA that signed the leaf on which it answered
	Took    time.Duration
	Result  string
	Fault   error // nil if, and only if, Result is ResultOK
	Reached bool  // false: the API server didn't get as far as the webhook, so nothing is known about it

	address string // of Server, or configured
}

// Options are what a Prober works with. All are required.
type Options struct {
	Config    *rest.Config  // every API server is asked with its credentials
	Live      client.Reader // reads, past every cache, where the API servers are
	Namespace string        // the operator's, whose Leases the configuration is about
	Now       func() time.Time
	Metrics   prometheus.Registerer
}

// Prober asks API servers.
type Prober struct {
	Options
	metrics *metrics

	mu      sync.Mutex
	clients map[string]leases // by address
}

// New returns a Prober that has asked nobody yet.
func New(o Options) (*Prober, error) {
	m, err := newMetrics(o.Metrics)
	if err != nil {
		return nil, err
	}
	return &Prober{Options: o, metrics: m, clients: map[string]leases{}}, nil
}

// Probe asks each API server once. If none of the addresses that the cluster gives can be asked, the configured one is:
// it may lead through something that they don't. An error means that nobody could be asked, or that ctx ended: then some
// of the answers say only that.
func (p *Prober) Probe(ctx context.Context) ([]Answer, error) {
	addresses, unknown := p.servers(ctx)
	answers, err := p.each(ctx, addresses)
	if err != nil {
		return nil, err
	}
	if len(reached(answers)) == 0 && !slices.Contains(addresses, configured) {
		last, err := p.each(ctx, []string{configured})
		if err != nil {
			return nil, err
		}
		answers = append(answers, last...)
	}
	if unknown != nil {
		answers = append(answers, Answer{Server: "others", Result: ResultOther, Fault: unknown})
	}
	return answers, ctx.Err()
}

// reached are the addresses of API servers that got as far as the webhook.
func reached(answers []Answer) []string {
	var addresses []string
	for _, a := range answers {
		if a.Reached {
			addresses = append(addresses, a.address)
		}
	}
	return addresses
}

// each asks them at the same time: one that hangs must not keep the others from being asked.
func (p *Prober) each(ctx context.Context, addresses []string) ([]Answer, error) {
	clients, err := p.connect(addresses)
	if err != nil {
		return nil, err
	}
	answers := make([]Answer, len(clients))
	slots := make(chan struct{}, atOnce)
	var wait sync.WaitGroup
	for i, c := range clients {
		slots <- struct{}{}
		wait.Go(func() {
			defer func() { <-slots }()
			answers[i] = p.ask(ctx, c)
		})
	}
	wait.Wait()
	for _, a := range answers {
		p.metrics.observe(a)
	}
	return answers, nil
}

// ask has one API server make a Lease, for show.
func (p *Prober) ask(ctx context.Context, c leases) Answer {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	nonce := newNonce()
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{GenerateName: namePrefix, Namespace: p.Namespace, Labels: map[string]string{Label: nonce}}}
	start := p.Now()
	made, err := c.api.Create(ctx, lease, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	a := Answer{Server: c.server, address: c.address, Took: p.Now().Sub(start), Result: ResultOK, Reached: true}
	if err != nil {
		a.Result, a.Reached = classify(err)
		a.Fault = fmt.Errorf("probing through API server %s: %s", c.server, clip(err.Error()))
		return a
	}
	if a.Replica, a.CA, err = evidence(made.Annotations, nonce); err != nil {
		a.Result, a.Fault = ResultOther, fmt.Errorf("probing through API server %s: %w", c.server, err)
	}
	return a
}

func newNonce() string {
	var b [16]byte
	rand.Read(b[:]) //nolint:errcheck // it never returns an error
	return hex.EncodeToString(b[:])
}
