package certs

import (
	"os"
	"testing"

	"github.com/pillion-mesh/pillion/test/cluster/cluster"
	"github.com/pillion-mesh/pillion/test/integration/operatortest"
)

// clusterName isn't that of test/cluster's own tests of certificates, which run beside these.
const clusterName = "certs-command"

func TestMain(m *testing.M) {
	os.Exit(operatortest.Main(m, operatortest.Setup{Cluster: cluster.Options{Name: clusterName, APIOnly: true}}))
}
