// Package certsources tests that certificates from cert-manager, from a Secret or from files are served, renewed and
// exchanged for others while a client goes on creating pods, on a real kube-apiserver with cert-manager's own controllers
// and CA injector. How the operator rotates a CA of its own is package rotation's to test. Read env_test.go first.
package certsources

import (
	"os"
	"testing"
	"time"

	"github.com/pillion-mesh/pillion/internal/cmd/pillion/operator"
	"github.com/pillion-mesh/pillion/test/cluster/cluster"
	"github.com/pillion-mesh/pillion/test/cluster/testenv"
	"github.com/pillion-mesh/pillion/test/integration/operatortest"
)

// Two clusters, since webhook configurations aren't in a namespace: most of a rotation is waiting, so the tests of one
// can wait beside those of the other.
var (
	withCertManager = testenv.Options{Name: "certsources", CertManager: true}
	bare            = testenv.Options{Name: "certsources-bare"}
)

func TestWithCertManager(t *testing.T) {
	t.Parallel()
	t.Run("FromOneIssuerToAnother", testIssuers)
	t.Run("ExternalBundleByInjector", testExternalBundleByInjector)
	t.Run("ProvidedByFiles", testProvidedByFiles) // here for want of time there
}

func TestWithoutCertManager(t *testing.T) {
	t.Parallel()
	testenv.Start(t, bare) // for all of them
	t.Run("ProvidedBySecret", testProvidedBySecret)
	t.Run("ReplicaStartsDuringHold", testReplicaStartsDuringHold)
	t.Run("ReplicaStartsBeforeExternalBundle", testReplicaStartsBeforeExternalBundle)
	t.Run("CertManagerIsInstalledLate", testCertManagerIsInstalledLate)
}

func TestMain(m *testing.M) {
	os.Exit(operatortest.Main(m, operatortest.Setup{
		Cluster:   cluster.Options{Name: withCertManager.Name, APIOnly: true, ControllerManager: true, CertManager: true},
		Configure: configure,
	}))
}

// settleEnv makes a hold longer than ShortTimes do.
const settleEnv = "PILLION_TEST_SETTLE"

func configure(o *operator.Options) {
	operatortest.Rotating(o)
	if settle, err := time.ParseDuration(os.Getenv(settleEnv)); err == nil {
		o.Times.Settle, o.Times.ProbeOffSettle = settle, settle
	}
}
