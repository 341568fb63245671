package inject

import (
	"strconv"

	"github.com/pillion-mesh/pillion/internal/istio"
)

// captureArgs are pillion-capture's flags for these settings: the same letters as istio-iptables has. The sidecar's own
// ports are always excluded, around the user's, so that the status port stays last.
func captureArgs(c Capture) []string {
	excludeInbound := strconv.Itoa(istio.PortProxyStats) + "," + strconv.Itoa(istio.PortReady)
	if c.ExcludeInboundPorts != "" {
		excludeInbound += "," + c.ExcludeInboundPorts
	}
	excludeInbound += "," + strconv.Itoa(istio.PortStatus)
	args := []string{
		"-p", strconv.Itoa(istio.PortOutbound),
		"-z", strconv.Itoa(istio.PortInbound),
		"-u", strconv.FormatInt(c.UID, 10),
		"-m", string(c.Mode),
		"-i", c.IncludeOutboundIPRanges,
		"-x", c.ExcludeOutboundIPRanges,
		"-b", c.IncludeInboundPorts,
		"-d", excludeInbound,
	}
	if c.GID != c.UID {
		args = append(args, "-g", strconv.FormatInt(c.GID, 10))
	}
	if c.IncludeOutboundPorts != "" {
		args = append(args, "-q", c.IncludeOutboundPorts)
	}
	if c.ExcludeOutboundPorts != "" {
		args = append(args, "-o", c.ExcludeOutboundPorts)
	}
	return args
}
