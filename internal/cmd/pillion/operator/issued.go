package operator

import (
	"context"
	"errors"
	"net"
	"reflect"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/controller/certmanager"
	"github.com/pillion-mesh/pillion/internal/controller/servingcert/pairs"
)

// askAgain is how often cert-manager's objects are looked at without a reason.
const askAgain = time.Minute

// tidyPatience is how long it may take to remove what isn't needed.
const tidyPatience = 15 * time.Second

// issued is servingcert.Pairs: certificates of cert-manager's, or of the user's in a Secret or in files.
type issued struct {
	namespace, service string
	client             client.Client
	live               client.Reader
	leader             func() bool
	now                func() time.Time
	running            context.Context // of the process: what is watched outlives a look
	every              time.Duration   // between two looks at what isn't needed any more
	complete           func() (v1alpha1.CertificatesSource, bool)
	log                logr.Logger

	mu      sync.Mutex
	files   *pairs.Files
	watches pairs.Watches
	asked   time.Time
	want    certmanager.Want
	state   certmanager.State
	tidied  bool // nothing is left of what cert-manager was asked for
}

func (o Options) newIssued(ctx context.Context, mgr manager.Manager, to cluster, log logr.Logger) *issued {
	i := &issued{namespace: o.Namespace, service: o.Service, client: mgr.GetClient(), live: mgr.GetAPIReader(), leader: to.leads, now: o.Now, running: ctx,
		every: o.Times.Look, log: log,
		watches: pairs.Watches{Client: to.clientset, Namespace: o.Namespace, Log: log}}
	if o.TLSCert != "" {
		i.files = &pairs.Files{Cert: o.TLSCert, Key: o.TLSKey, CA: o.TLSCA}
	}
	return i
}

// Start removes what cert-manager was asked for when another source has taken its place. It ends the watches when the
// replica ends.
func (i *issued) Start(ctx context.Context) error {
	ticker := time.NewTicker(i.every)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			i.tidy(ctx)
		case <-ctx.Done():
			i.mu.Lock()
			defer i.mu.Unlock()
			i.watches.Stop()
			return nil
		}
	}
}

// tidy waits until nobody is seen to serve what cert-manager issued. With settings that can't be fulfilled, that is never.
func (i *issued) tidy(ctx context.Context) {
	i.mu.Lock()
	defer i.mu.Unlock()
	source, complete := i.complete()
	if i.tidied || !complete || source == v1alpha1.CertificatesCertManager || !i.leader() {
		return
	}
	i.tidied = i.remove(ctx, nil)
}

// remove deletes all that needed, which may be nil, doesn't ask for. What it can't is only in the way.
func (i *issued) remove(ctx context.Context, needed *certmanager.Want) bool {
	ctx, cancel := context.WithTimeout(ctx, tidyPatience)
	defer cancel()
	err := certmanager.Remove(ctx, i.client, i.namespace, i.service, needed)
	if err != nil {
		i.log.Error(err, "what cert-manager isn't asked for any more is still there; will try again")
	}
	return err == nil
}

// Candidate is the pair that the settings speak of. There may be one though something is wrong.
func (i *issued) Candidate(ctx context.Context, settings v1alpha1.Certificates, names []string) (*pairs.Pair, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if settings.Source == v1alpha1.CertificatesCertManager {
		i.tidied = false
		return i.fromCertManager(ctx, settings.CertManager, names)
	}
	switch ref := settings.Provided.SecretRef; {
	case ref != nil:
		return i.fromSecret(ctx, ref.Name, names)
	case i.files != nil:
		return i.files.Read(names, i.now())
	}
	return nil, &pairs.Refused{Reason: pairs.Missing,
		Message: "spec.certificates has source Provided and no provided.secretRef, and the operator runs without --tls-cert-file: set one of them"}
}

func (i *issued) fromSecret(ctx context.Context, name string, names []string) (*pairs.Pair, error) {
	if i.running.Err() == nil {
		i.watches.Keep(i.running, name)
	}
	return pairs.Read(ctx, i.live, client.ObjectKey{Namespace: i.namespace, Name: name}, names, i.now())
}

func (i *issued) fromCertManager(ctx context.Context, settings v1alpha1.CertManagerCertificates, names []string) (*pairs.Pair, error) {
	want := certmanager.Want{Namespace: i.namespace, Service: i.service, SecretName: certmanager.SecretName(i.service),
		Duration: settings.Duration, IssuerRef: settings.IssuerRef}
	for _, name := range names {
		if net.ParseIP(name) != nil {
			want.Addresses = append(want.Addresses, name)
		} else {
			want.DNSNames = append(want.DNSNames, name)
		}
	}
	unknown := i.ask(ctx, want)
	pair, err := i.fromSecret(ctx, want.SecretName, names)
	if i.state.Reason != "" && (err == nil || refusedFor(err, pairs.Missing)) {
		err = &pairs.Refused{Reason: i.state.Reason, Message: i.state.Message} // which says what to do about it
	}
	return pair, errors.Join(err, unknown)
}

// ask keeps what cert-manager is asked for. Only the leader writes.
func (i *issued) ask(ctx context.Context, want certmanager.Want) error {
	now := i.now()
	if !i.leader() || reflect.DeepEqual(want, i.want) && i.state.Ready && now.Sub(i.asked) < askAgain && !now.Before(i.asked) {
		return nil
	}
	state, err := certmanager.Keep(ctx, i.client, want)
	if err != nil {
		return err
	}
	i.want, i.state, i.asked = want, state, now
	if state.Ready {
		i.remove(ctx, &want)
	}
	return nil
}

func refusedFor(err error, reason string) bool {
	var refused *pairs.Refused
	return errors.As(err, &refused) && refused.Reason == reason
}
