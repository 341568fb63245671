// Command kube is Kubernetes in one program: the API server, the controller manager, the scheduler, the kubelet,
// kube-proxy and kubectl, built from their published packages. It runs the one its first argument, or the name it was
// started under, asks for, and constructs only that one: feature gates and flags are process-wide.
//
// It is a module of its own because k8s.io/kubernetes builds only with replace lines, which count in a main module alone.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/component-base/cli"
	kubectl "k8s.io/kubectl/pkg/cmd"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"

	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"

	"context"
)

// constructors by program name, in the order the usage text shows them.
var programs = []struct {
	name string
	make func() *cobra.Command
}{
	{"kube-apiserver", apiserver.NewAPIServerCommand},
	{"kube-controller-manager", controllermanager.NewControllerManagerCommand},
	{"kube-scheduler", func() *cobra.Command { return scheduler.NewSchedulerCommand() }},
	{"kubelet", func() *cobra.Command { return kubelet.NewKubeletCommand(context.Background()) }},
	{"kube-proxy", proxy.NewProxyCommand},
	{"kubectl", kubectl.NewDefaultKubectlCommand},
}

func main() {
	name := filepath.Base(os.Args[0])
	if command := construct(name); command != nil {
		os.Exit(cli.Run(command))
	}
	if len(os.Args) > 1 {
		if command := construct(os.Args[1]); command != nil {
			os.Args = os.Args[1:] // kubectl and klog read os.Args themselves
			os.Exit(cli.Run(command))
		}
	}
	var names []string
	for _, p := range programs {
		names = append(names, p.name)
	}
	fmt.Fprintf(os.Stderr, "usage: %s PROGRAM [flags]\n  PROGRAM is one of: %s\n", name, strings.Join(names, ", "))
	os.Exit(64)
}

func construct(name string) *cobra.Command {
	for _, p := range programs {
		if p.name == name {
			return p.make()
		}
	}
	return nil
}
