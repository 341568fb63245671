package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/test/cluster/binary"
	"github.com/pillion-mesh/pillion/test/cluster/cluster"
)

const (
	clusterName = "bench-inject"
	patience    = time.Minute
)

// Namespaces: pods of the one are injected, those of the other aren't.
const (
	with    = "with"
	without = "without"
)

// mesh is an API server of its own with an operator, which is a process on this machine.
type mesh struct {
	cluster  *cluster.Cluster
	client   client.Client
	leave    func(context.Context) error
	operator *exec.Cmd
	log      *os.File // the operator's
}

// startMesh returns when pods are injected.
func startMesh(ctx context.Context, b *bench) (m *mesh, err error) {
	m = &mesh{}
	if m.cluster, m.leave, err = cluster.Join(ctx, cluster.Options{Name: clusterName, APIOnly: true}, os.Stderr); err != nil {
		return nil, fmt.Errorf("starting an API server: %w", err)
	}
	err = b.progress.Step("operator", func(func(string)) error { return m.install(ctx) })
	if err != nil {
		return nil, errors.Join(err, m.lastWords(), m.stop())
	}
	return m, nil
}

// lastWords are the end of the operator's log.
func (m *mesh) lastWords() error {
	const some = 2000
	if m.log == nil {
		return nil
	}
	size, err := m.log.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	text := make([]byte, min(size, some))
	if _, err := m.log.ReadAt(text, size-int64(len(text))); err != nil {
		return err
	}
	return fmt.Errorf("the operator's log ends with:\n%s", text)
}

// stop leaves nothing, whatever has ended the benchmark.
func (m *mesh) stop() error {
	if m.operator != nil {
		_ = syscall.Kill(-m.operator.Process.Pid, syscall.SIGKILL) // with its child
		_ = m.operator.Wait()
	}
	if m.log != nil {
		_ = m.log.Close()
		_ = os.Remove(m.log.Name())
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return m.leave(ctx)
}

func (m *mesh) install(ctx context.Context) error {
	scheme := runtime.NewScheme()
	err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme), apiextensionsv1.AddToScheme(scheme))
	if err != nil {
		return err
	}
	if m.client, err = client.New(m.cluster.Config, client.Options{Scheme: scheme}); err != nil {
		return err
	}
	if err := m.prepare(ctx); err != nil {
		return err
	}
	webhook, err := freeAddress()
	if err != nil {
		return err
	}
	if err := m.startOperator(webhook); err != nil {
		return err
	}
	injector := &v1alpha1.Injector{ObjectMeta: metav1.ObjectMeta{Name: "default"}, Spec: v1alpha1.InjectorSpec{Webhook: v1alpha1.Webhook{URL: "https://" + webhook}}}
	if err := m.create(ctx, injector); err != nil {
		return err
	}
	creator, err := m.creator(with)
	if err != nil {
		return err
	}
	return wait(ctx, "a pod is injected", func() error {
		_, injected, err := creator.create(ctx)
		if err == nil && !injected {
			err = errors.New("it has no sidecar")
		}
		return err
	})
}

// prepare makes the CRD and the namespaces.
func (m *mesh) prepare(ctx context.Context) error {
	root, err := binary.Root(ctx)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(filepath.Join(root, "config", "crd", "pillion.dev_injectors.yaml"))
	if err != nil {
		return err
	}
	crd := &apiextensionsv1.CustomResourceDefinition{}
	if err := yaml.UnmarshalStrict(text, crd); err != nil {
		return err
	}
	namespace := func(name string, labels map[string]string) *corev1.Namespace {
		return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}
	}
	for _, object := range []client.Object{crd, namespace("pillion-system", nil), namespace(without, nil),
		namespace(with, map[string]string{"istio-injection": "enabled"})} {
		if err := m.create(ctx, object); err != nil {
			return err
		}
	}
	return wait(ctx, "the CRD is established", func() error { return m.client.List(ctx, &v1alpha1.InjectorList{}) })
}

func (m *mesh) create(ctx context.Context, object client.Object) error {
	if err := m.client.Create(ctx, object); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("creating %T %s: %w", object, object.GetName(), err)
	}
	return nil
}

// startOperator runs `pillion operator` with the deployment's settings.
func (m *mesh) startOperator(webhook string) error {
	ops, err := freeAddress()
	if err != nil {
		return err
	}
	program, err := os.Executable()
	if err != nil {
		return err
	}
	if m.log, err = os.CreateTemp("", "pillion-bench-*.log"); err != nil {
		return err
	}
	m.operator = exec.Command(program, "operator", "--kubeconfig="+m.cluster.Kubeconfig(), "--pod-name=bench",
		"--webhook-address="+webhook, "--ops-address="+ops, "--serving-host=127.0.0.1", "--create-default-injector=false")
	m.operator.Env = withGOGC(append(os.Environ(), roleEnv+"="+roleOperator, "GOMEMLIMIT=460MiB"))
	m.operator.SysProcAttr, m.operator.Stderr = ownGroup(), m.log
	if err := m.operator.Start(); err != nil {
		m.operator = nil
		return fmt.Errorf("starting the operator: %w", err)
	}
	return nil
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// wait polls until test succeeds.
func wait(ctx context.Context, what string, test func() error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		last := test()
		if last == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting until %s: %w", what, last)
		case <-time.After(100 * time.Millisecond):
		}
	}
}
