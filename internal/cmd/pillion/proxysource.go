package pillion

import (
	"context"
	"io"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/cli-runtime/pkg/genericclioptions"

	"github.com/pillion-mesh/pillion/internal/cli"
	"github.com/pillion-mesh/pillion/internal/cli/admin"
	"github.com/pillion-mesh/pillion/internal/istio"
)

// proxySource is where a proxy's answers come from: a pod of a cluster, or a file.
type proxySource struct {
	kube  *genericclioptions.ConfigFlags
	file  string
	port  int
	stdin io.Reader
}

func newProxySource(stdin io.Reader) proxySource {
	s := proxySource{kube: genericclioptions.NewConfigFlags(true), stdin: stdin}
	timeout := "30s"
	s.kube.Timeout = &timeout
	s.kube.ClusterName = nil // --cluster means one of the proxy's
	return s
}

func (s *proxySource) addFlags(flags *pflag.FlagSet) {
	s.kube.AddFlags(flags)
	flags.StringVarP(&s.file, "file", "f", "", "file with the answer of the admin API instead of a pod; - is stdin")
	flags.IntVar(&s.port, "proxy-admin-port", istio.PortAdmin, "port of the admin API")
}

// read reads a path of the admin API, or the file if no pod is named.
func (s *proxySource) read(ctx context.Context, pod, path string) ([]byte, error) {
	if pod == "" {
		return readFile(s.file, s.stdin)
	}
	proxy, err := s.pod(ctx, pod)
	if err != nil {
		return nil, err
	}
	ctx, cancel := s.limit(ctx)
	defer cancel()
	answer, err := proxy.Get(ctx, path)
	if err != nil {
		return nil, cli.ProxyFailure(proxy, err)
	}
	return answer, nil
}

func (s *proxySource) post(ctx context.Context, pod, path string) ([]byte, error) {
	proxy, err := s.pod(ctx, pod)
	if err != nil {
		return nil, err
	}
	ctx, cancel := s.limit(ctx)
	defer cancel()
	answer, err := proxy.Post(ctx, path)
	if err != nil {
		return nil, cli.ProxyFailure(proxy, err)
	}
	return answer, nil
}

func (s *proxySource) limit(ctx context.Context) (context.Context, context.CancelFunc) {
	timeout, err := time.ParseDuration(*s.kube.Timeout)
	if err != nil || timeout <= 0 {
		timeout = 30 * time.Second
	}
	return context.WithTimeout(ctx, timeout)
}

// pod finds the proxy that is meant: a pod, or one of a workload's.
func (s *proxySource) pod(ctx context.Context, name string) (admin.Pod, error) {
	namespace, _, err := s.kube.ToRawKubeConfigLoader().Namespace()
	if err != nil {
		return admin.Pod{}, inputError(err)
	}
	c, err := newClient(s.kube)
	if err != nil {
		return admin.Pod{}, err
	}
	config, err := s.kube.ToRESTConfig()
	if err != nil {
		return admin.Pod{}, err
	}
	found, err := cli.FindPod(ctx, c, name, namespace)
	if err != nil {
		return admin.Pod{}, err
	}
	return admin.Pod{Config: config, Namespace: found.Namespace, Name: found.Name, Port: s.port}, nil
}
