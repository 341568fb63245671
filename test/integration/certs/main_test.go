package certs

import (
	"os"
	"testing"

	"github.com/pillion-mesh/pillion/test/cluster/cluster"
	"github.com/pillion-mesh/pillion/test/integration/operatortest"
)

func TestMain(m *testing.M) {
	os.Exit(operatortest.Main(m, operatortest.Setup{Cluster: cluster.Options{Name: "certs", APIOnly: true}}))
}
