package servingcert

import (
	"context"
	"slices"
	"testing"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/controller/servingcert/pairs"
)

// asked are the names that a pair must have.
type asked []string

func (a *asked) Candidate(_ context.Context, _ v1alpha1.Certificates, names []string) (*pairs.Pair, error) {
	*a = names
	return nil, &pairs.Refused{Reason: pairs.Missing, Message: "none"}
}

// TestNames: our own leaf has every name of the Service, others' needs those that API servers call.
func TestNames(t *testing.T) {
	c := newWorld(t).replica("a")
	var others asked
	c.Pairs = &others
	c.Hosts = []string{"127.0.0.1"}
	c.Settings = func() v1alpha1.Certificates {
		return v1alpha1.Certificates{Source: v1alpha1.CertificatesProvided}
	}
	if err := c.Step(t.Context()); err == nil {
		t.Error("there is nothing to serve, and no error")
	}
	called := []string{"pillion.pillion-system.svc", "pillion-probe.pillion-system.svc", "127.0.0.1"}
	if !slices.Equal(others, called) {
		t.Errorf("others' certificates need %v, want %v", others, called)
	}
	c.Settings = v1alpha1.DefaultCertificates
	if err := c.Step(t.Context()); err != nil {
		t.Fatal(err)
	}
	leaf := c.leaf.Load().crt
	for _, name := range append(called, "pillion", "pillion.pillion-system", "pillion.pillion-system.svc.cluster.local") {
		if err := leaf.VerifyHostname(name); err != nil {
			t.Error(err)
		}
	}
}
