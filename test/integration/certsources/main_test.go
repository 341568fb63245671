// Package certsources tests that certificates from cert-manager, from a Secret or from files are served, renewed and
// exchanged for others while a client goes on creating pods, on a real kube-apiserver with cert-manager's own controllers
// and CA injector. How the operator rotates a CA of its own is package rotation's to test. Read env_test.go first.
package certsources

import (
	"os"
	"testing"

	"github.com/pillion-mesh/pillion/test/cluster/cluster"
	"github.com/pillion-mesh/pillion/test/integration/operatortest"
)

const clusterName = "certsources" // webhook configurations aren't in a namespace

func TestMain(m *testing.M) {
	os.Exit(operatortest.Main(m, operatortest.Setup{
		Cluster:   cluster.Options{Name: clusterName, APIOnly: true, ControllerManager: true, CertManager: true},
		Configure: operatortest.Rotating,
	}))
}
