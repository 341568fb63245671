// Package precedence holds the truth tables of injection (namespace label × namespace revision × pod label × pod
// revision; three revisions with tags; every policy; neverInject and alwaysInject) against a real API server: for every
// row a dry-run pod is created, and who was called and who injected must be who the table and check-inject say.
package precedence

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/cli"
	"github.com/pillion-mesh/pillion/internal/inject/injecttest"
	"github.com/pillion-mesh/pillion/templates"
	"github.com/pillion-mesh/pillion/test/cluster/testenv"
)

func TestTruthTableOnTheAPIServer(t *testing.T) {
	c := testenv.Start(t, testenv.Options{Name: "precedence"}) // webhook configurations aren't in a namespace
	api := newClient(t, c)
	installCRD(t, api)
	t.Run("webhooks render", func(t *testing.T) { testRenderedWebhooks(t, api, string(c.Listen(t).CA)) })
	tagged, simple, listed := injecttest.Tagged(v1alpha1.PolicyOptIn), injecttest.Simple(v1alpha1.PolicyOptOut), injecttest.Listed(v1alpha1.PolicyExplicit)
	for _, table := range []struct {
		name  string
		world injecttest.World
		rows  []injecttest.Row
		least int
	}{
		{"three revisions, two tags, OptIn", tagged, tagged.EachMeaning(), 1600},
		{"OptOut", simple, simple.EachMeaning(), 500},
		{"Explicit, neverInject, alwaysInject", listed, listed.ListedRows(), 200},
	} {
		if len(table.rows) < table.least {
			t.Fatalf("%s: the table has %d rows: this test would prove little", table.name, len(table.rows))
		}
		t.Run(table.name, func(t *testing.T) {
			called := serve(t, c, api, table.world.Injectors)
			namespaces := makeNamespaces(t, c, table.rows)
			create(t, api, table.rows, namespaces)
			checks := checkInject(t, api, table.rows, namespaces)
			for i := range table.rows {
				compare(t, &table.rows[i], called.by(podName(i)), checks[i])
			}
		})
	}
}

// compare holds the API server's and check-inject's answer against the table's.
func compare(t *testing.T, row *injecttest.Row, called []string, check cli.InjectionCheck) {
	t.Helper()
	var wanted []string
	if row.Called != injecttest.None {
		wanted = []string{answered(row.Called, row.Injected)}
	}
	if !slices.Equal(called, wanted) {
		t.Errorf("namespace %v, pod %v: the API server called %v, the table says %v", row.NamespaceLabels(), row.PodLabels(), called, wanted)
	}
	if check.Injected != row.Injected || row.Called != injecttest.None && check.Decision.Injector != row.Called {
		t.Errorf("namespace %v, pod %v: check-inject says %t by %q (%s), the table says %t by %q",
			row.NamespaceLabels(), row.PodLabels(), check.Injected, check.Decision.Injector, check.Verdict, row.Injected, row.Called)
	}
	matching := slices.DeleteFunc(slices.Clone(check.Webhooks), func(r cli.WebhookRow) bool { return !r.Matches })
	if len(matching) != len(wanted) {
		t.Errorf("namespace %v, pod %v: check-inject shows %d matching webhooks, want %d: %v", row.NamespaceLabels(), row.PodLabels(), len(matching), len(wanted), matching)
	}
}

func answered(injector string, injected bool) string {
	if injected {
		return injector
	}
	return injector + " without a patch"
}

// create makes a dry-run pod for every row, some at a time.
func create(t *testing.T, api client.Client, rows []injecttest.Row, namespaces []string) {
	t.Helper()
	work := make(chan int)
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			for i := range work {
				if err := api.Create(context.Background(), newPod(namespaces[i], podName(i), rows[i].PodLabels()), client.DryRunAll); err != nil {
					t.Errorf("namespace %v, pod %v: %v", rows[i].NamespaceLabels(), rows[i].PodLabels(), err)
				}
			}
		})
	}
	for i := range rows {
		work <- i
	}
	close(work)
	wait.Wait()
}

// checkInject asks the user's command about every row.
func checkInject(t *testing.T, api client.Client, rows []injecttest.Row, namespaces []string) []cli.InjectionCheck {
	t.Helper()
	objects := make([]*unstructured.Unstructured, len(rows))
	for i := range rows {
		objects[i] = cli.PodWithLabels(namespaces[i], rows[i].PodLabels())
	}
	checks, err := cli.CheckInject(t.Context(), api, injecttest.Operator(templates.FS), "default", objects...)
	if err != nil {
		t.Fatal(err)
	}
	if len(checks) != len(rows) {
		t.Fatalf("%d answers to %d rows", len(checks), len(rows))
	}
	return checks
}

func podName(row int) string { return fmt.Sprintf("row-%d", row) }
