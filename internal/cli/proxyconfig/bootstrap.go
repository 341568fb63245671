package proxyconfig

import (
	"cmp"
	"errors"
	"fmt"
	"io"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
)

// WriteBootstrap prints what the proxy was started with, as json or yaml, or short: its versions.
func (d *Dump) WriteBootstrap(w io.Writer, format string) error {
	switch {
	case d.Bootstrap == nil:
		return errors.New("the dump has no bootstrap in it")
	case format != "short":
		return writeMessage(w, d.Bootstrap, format)
	}
	node := d.Bootstrap.GetBootstrap().GetNode()
	metadata := node.GetMetadata().GetFields()
	_, err := fmt.Fprintf(w, "Istio Version:       %s\nIstio Proxy Version: %s\nEnvoy Version:       %s\n",
		cmp.Or(metadata["ISTIO_VERSION"].GetStringValue(), "-"), cmp.Or(metadata["ISTIO_PROXY_SHA"].GetStringValue(), "-"), proxyVersion(node))
	return err
}

func proxyVersion(node *corev3.Node) string {
	build := node.GetUserAgentBuildVersion()
	if v := build.GetVersion(); v != nil {
		return fmt.Sprintf("%d.%d.%d/%s", v.GetMajorNumber(), v.GetMinorNumber(), v.GetPatch(), cmp.Or(build.GetMetadata().GetFields()["build.type"].GetStringValue(), "-"))
	}
	return cmp.Or(node.GetUserAgentVersion(), "-")
}
