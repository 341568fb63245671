package cluster

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// Command is a command run inside the node, or with API-only beside it: kubectl is in its PATH and KUBECONFIG set.
func (c *Cluster) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	return c.command(ctx, []string{"-n", "-m", "-p"}, name, args...)
}

func (c *Cluster) command(ctx context.Context, namespaces []string, name string, args ...string) *exec.Cmd {
	path := c.Dir.Path("bin") + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:" + os.Getenv("PATH")
	line := []string{"env", "PATH=" + path, "KUBECONFIG=" + c.insideKubeconfig(), "KUBECACHEDIR=" + c.Dir.Path("kubectl-cache"),
		"CONTAINERD_ADDRESS=" + containerdSocket, "CONTAINERD_NAMESPACE=k8s.io", name}
	line = append(line, args...)
	if !c.Record.APIOnly {
		line = append(enter(c.Record.Init.PID, namespaces...), line...)
	}
	return exec.CommandContext(ctx, line[0], line[1:]...)
}

// insideKubeconfig leads to the API server by its address inside: the one outside isn't there.
func (c *Cluster) insideKubeconfig() string {
	if c.Record.APIOnly {
		return c.Dir.Kubeconfig()
	}
	return c.Dir.Path("pki", "admin.kubeconfig")
}

// enter is nsenter. `ip netns exec` would mount a new /sys, which hides the cgroups.
func enter(pid int, namespaces ...string) []string {
	return append(append([]string{"nsenter", "-t", strconv.Itoa(pid)}, namespaces...), "--")
}

// output runs a command and puts what it said into the error.
func output(command *exec.Cmd) (string, error) {
	var out, said strings.Builder
	command.Stdout, command.Stderr = &out, &said
	if err := command.Run(); err != nil {
		return out.String(), fmt.Errorf("%s: %w\n%s", strings.Join(command.Args, " "), err, said.String())
	}
	return out.String(), nil
}
