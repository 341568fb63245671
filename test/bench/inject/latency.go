package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/pillion-mesh/pillion/internal/inject/injecttest"
)

const (
	creations = 1000 // of each kind, one after the other
	firstFew  = 50   // that aren't counted
	burst     = 200  // at once
)

// pods measures what pods' creation takes: with and without a sidecar in turns, then many at once.
func pods(ctx context.Context, b *bench) error {
	m, err := startMesh(ctx, b)
	if err != nil {
		return err
	}
	err = b.progress.Step(fmt.Sprintf("%d pods with and %d without a sidecar", creations, creations), func(note func(string)) error {
		return b.latency(ctx, m, note)
	})
	if err == nil {
		err = b.progress.Step(fmt.Sprintf("%d pods at once", burst), func(func(string)) error { return b.burst(ctx, m) })
	}
	return errors.Join(err, m.stop())
}

// creator makes typical pods in a namespace. It leaves the answers unread, so that its own share of the time is small.
type creator struct {
	client rest.Interface
	path   string
	body   []byte
}

func (m *mesh) creator(namespace string) (*creator, error) {
	config := rest.CopyConfig(m.cluster.Config)
	config.QPS = -1
	clientset, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	pod := strings.Replace(injecttest.TypicalPod(5), `"namespace":"shop"`, fmt.Sprintf(`"namespace":%q`, namespace), 1)
	return &creator{clientset.CoreV1().RESTClient(), "/api/v1/namespaces/" + namespace + "/pods", []byte(pod)}, nil
}

// create says how long it took and whether the pod has a sidecar.
func (c *creator) create(ctx context.Context) (took time.Duration, injected bool, err error) {
	start := time.Now()
	answer, err := c.client.Post().AbsPath(c.path).SetHeader("Content-Type", "application/json").Body(c.body).Do(ctx).Raw()
	took = time.Since(start)
	if err != nil {
		return took, false, fmt.Errorf("creating a pod: %w: %s", err, answer)
	}
	return took, bytes.Contains(answer, []byte(`"name":"istio-proxy"`)), nil
}

// latency takes turns between the two kinds, and between which of them is first.
func (b *bench) latency(ctx context.Context, m *mesh, note func(string)) error {
	var creators [2]*creator
	for i, namespace := range []string{without, with} {
		c, err := m.creator(namespace)
		if err != nil {
			return err
		}
		creators[i] = c
	}
	var all [2][]time.Duration
	for i := range firstFew + creations {
		note(fmt.Sprintf("%d of each", i))
		for _, kind := range [2]int{i % 2, 1 - i%2} {
			took, injected, err := creators[kind].create(ctx)
			if err != nil {
				return err
			}
			if injected != (kind == 1) {
				return fmt.Errorf("a pod in namespace %q is injected: %t", []string{without, with}[kind], injected)
			}
			if i >= firstFew {
				all[kind] = append(all[kind], took)
			}
		}
	}
	slices.Sort(all[0])
	slices.Sort(all[1])
	for _, p := range []struct {
		name string
		at   float64
	}{{"p50_us", 0.5}, {"p99_us", 0.99}} {
		without, with := percentile(all[0], p.at), percentile(all[1], p.at)
		b.figure("latency_without", p.name, "%.0f", microseconds(without))
		b.figure("latency_with", p.name, "%.0f", microseconds(with))
		b.figure("latency_added", p.name, "%.0f", microseconds(with-without))
	}
	return nil
}

// burst counts pods that weren't made, and those without a sidecar.
func (b *bench) burst(ctx context.Context, m *mesh) error {
	c, err := m.creator(with)
	if err != nil {
		return err
	}
	took, faults := make([]time.Duration, burst), make([]error, burst)
	var wait sync.WaitGroup
	start := time.Now()
	for i := range burst {
		wait.Go(func() {
			var injected bool
			if took[i], injected, faults[i] = c.create(ctx); faults[i] == nil && !injected {
				faults[i] = errors.New("a pod has no sidecar")
			}
		})
	}
	wait.Wait()
	total := time.Since(start)
	slices.Sort(took)
	faults = slices.DeleteFunc(faults, func(err error) bool { return err == nil })
	b.figure("burst200", "total_ms", "%.0f", microseconds(total)/1e3)
	b.figure("burst200", "p99_ms", "%.0f", microseconds(percentile(took, 0.99))/1e3)
	b.figure("burst200", "failed", "%d", len(faults))
	if len(faults) > 0 {
		b.progress.Line("burst: the first fault: %v", faults[0])
	}
	return ctx.Err()
}
