// Package admin talks to the admin API of proxies in a cluster, which listens on the loopback of their pods only. In
// come a pod and a path, out goes the answer. Reads go through a port-forward, as istioctl's do; writes run in the
// sidecar's container, because the proxy takes them from its own user only. Read this file first.
package admin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/transport/spdy"

	"github.com/pillion-mesh/pillion/internal/istio"
)

// maxAnswer bounds what is read of an answer: the dump of a large mesh has some ten megabytes.
const maxAnswer = 512 << 20

// Pod is a proxy in a cluster.
type Pod struct {
	Config          *rest.Config
	Namespace, Name string
	Container       string // the sidecar's; empty: istio-proxy
	Port            int    // of the admin API; 0: 15000
}

// AnswerError is an answer other than 200.
type AnswerError struct {
	Path   string
	Status int
	Body   string
}

func (e *AnswerError) Error() string {
	return fmt.Sprintf("%s answered %d: %s", e.Path, e.Status, strings.TrimSpace(e.Body))
}

func (p Pod) port() int {
	if p.Port == 0 {
		return istio.PortAdmin
	}
	return p.Port
}

// Get reads a path of the admin API, such as /config_dump.
func (p Pod) Get(ctx context.Context, path string) ([]byte, error) {
	local, stop, err := p.forward(ctx)
	if err != nil {
		return nil, err
	}
	defer stop()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://localhost:%d%s", local, path), http.NoBody)
	if err != nil {
		return nil, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("reading %s of %s/%s: %w", path, p.Namespace, p.Name, err)
	}
	defer answer.Body.Close() //nolint:errcheck // it was read to its end
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading %s of %s/%s: %w", path, p.Namespace, p.Name, err)
	case answer.StatusCode != http.StatusOK:
		return nil, &AnswerError{Path: path, Status: answer.StatusCode, Body: string(body)}
	}
	return body, nil
}

// readyTime bounds the wait for a forwarded port.
const readyTime = 10 * time.Second

// forward opens a port of this machine's loopback that leads to the pod's.
func (p Pod) forward(ctx context.Context) (local uint16, stop func(), err error) {
	transport, upgrader, err := spdy.RoundTripperFor(p.Config)
	if err != nil {
		return 0, nil, fmt.Errorf("preparing a port-forward: %w", err)
	}
	request, err := p.resource("portforward")
	if err != nil {
		return 0, nil, err
	}
	dialer := spdy.NewDialer(upgrader, &http.Client{Transport: transport}, http.MethodPost, request.URL())
	stopped, ready := make(chan struct{}), make(chan struct{})
	var said bytes.Buffer
	forwarder, err := portforward.NewOnAddresses(dialer, []string{"127.0.0.1"}, []string{fmt.Sprintf("0:%d", p.port())}, stopped, ready, io.Discard, &said)
	if err != nil {
		return 0, nil, fmt.Errorf("preparing a port-forward: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- forwarder.ForwardPorts() }()
	stop = func() {
		close(stopped)
		<-ended //nolint:errcheck // it ends because we want it to
	}
	timer := time.NewTimer(readyTime)
	defer timer.Stop()
	select {
	case <-ready:
		ports, err := forwarder.GetPorts()
		if err == nil && len(ports) == 1 {
			return ports[0].Local, stop, nil
		}
		stop()
		return 0, nil, errors.Join(errors.New("the forwarded port is unknown"), err)
	case err := <-ended:
		return 0, nil, fmt.Errorf("forwarding a port to %s/%s: %w", p.Namespace, p.Name, err)
	case <-ctx.Done():
		stop()
		return 0, nil, ctx.Err()
	case <-timer.C:
		stop()
		return 0, nil, fmt.Errorf("forwarding a port to %s/%s: not ready after %v %s", p.Namespace, p.Name, readyTime, said.String())
	}
}

func (p Pod) resource(sub string) (*rest.Request, error) {
	config := rest.CopyConfig(p.Config)
	config.GroupVersion = &corev1.SchemeGroupVersion
	config.APIPath = "/api"
	config.NegotiatedSerializer = scheme.Codecs.WithoutConversion()
	client, err := rest.RESTClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("reaching the API server %s: %w", config.Host, err)
	}
	return client.Post().Resource("pods").Namespace(p.Namespace).Name(p.Name).SubResource(sub), nil
}

// Post changes something by the sidecar's own program, run in its container.
func (p Pod) Post(ctx context.Context, path string) ([]byte, error) {
	container := p.Container
	if container == "" {
		container = istio.ContainerProxy
	}
	request, err := p.resource("exec")
	if err != nil {
		return nil, err
	}
	request = request.VersionedParams(&corev1.PodExecOptions{
		Container: container, Stdout: true, Stderr: true,
		Command: []string{"pillion-sidecar", "request", "POST", path},
	}, scheme.ParameterCodec)
	executor, err := remotecommand.NewSPDYExecutor(p.Config, http.MethodPost, request.URL())
	if err != nil {
		return nil, fmt.Errorf("preparing exec: %w", err)
	}
	var out, said bytes.Buffer
	err = executor.StreamWithContext(ctx, remotecommand.StreamOptions{Stdout: &out, Stderr: &said})
	if err != nil {
		return nil, fmt.Errorf("running pillion-sidecar request in %s/%s: %w %s", p.Namespace, p.Name, err, strings.TrimSpace(said.String()))
	}
	return out.Bytes(), nil
}
