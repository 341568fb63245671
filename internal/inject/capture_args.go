package inject

import (
	"strconv"
	"strings"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/istio"
)

// Capture are one pod's capture settings after its annotations. Lists are comma-separated, as in flags.
type Capture struct {
	Mode                    v1alpha1.CaptureMode
	UID                     int64 // of the proxy container, whose own traffic isn't captured
	GID                     int64
	IncludeOutboundIPRanges string
	ExcludeOutboundIPRanges string
	IncludeInboundPorts     string
	ExcludeInboundPorts     string // without the sidecar's own ports, which are always excluded
	IncludeOutboundPorts    string
	ExcludeOutboundPorts    string
	ExcludeInterfaces       string
	VirtualInterfaces       string // what arrives on them counts as outbound
	ExcludeOutboundUIDs     string
	ExcludeInboundIPRanges  string
	Backend                 v1alpha1.CaptureBackend
	IPFamilies              v1alpha1.IPFamilies
}

// captureOf are an Injector's, which Validate has found good.
func captureOf(spec *v1alpha1.InjectorSpec) Capture {
	c := &spec.Capture
	return Capture{
		Mode: c.Mode, UID: spec.Proxy.UID, GID: spec.Proxy.UID, Backend: c.Backend, IPFamilies: c.IPFamilies,
		IncludeOutboundIPRanges: clean(v1alpha1.CIDRsOrAll, *c.IncludeOutboundIPRanges),
		ExcludeOutboundIPRanges: clean(v1alpha1.CIDRs, c.ExcludeOutboundIPRanges),
		IncludeInboundPorts:     clean(v1alpha1.PortsOrAll, *c.IncludeInboundPorts),
		ExcludeInboundPorts:     clean(v1alpha1.Ports, c.ExcludeInboundPorts),
		IncludeOutboundPorts:    clean(v1alpha1.Ports, c.IncludeOutboundPorts),
		ExcludeOutboundPorts:    clean(v1alpha1.Ports, c.ExcludeOutboundPorts),
		ExcludeInterfaces:       clean(v1alpha1.Interfaces, c.ExcludeInterfaces),
		ExcludeOutboundUIDs:     clean(v1alpha1.UIDs, c.ExcludeOutboundUIDs),
		ExcludeInboundIPRanges:  clean(v1alpha1.CIDRs, c.ExcludeInboundIPRanges),
	}
}

// clean is a list Validate has found good.
func clean(check func(string) (string, error), list string) string {
	list, _ = check(list)
	return list
}

// captureArgs are pillion-capture's flags for these settings: the same letters as istio-iptables has. What is as always
// isn't there.
func captureArgs(c Capture, statusPort int64) []string {
	args := []string{
		"-p", strconv.Itoa(istio.PortOutbound),
		"-z", strconv.Itoa(istio.PortInbound),
		"-u", strconv.FormatInt(c.UID, 10),
		"-m", string(c.Mode),
		"-i", c.IncludeOutboundIPRanges,
		"-x", c.ExcludeOutboundIPRanges,
		"-b", c.IncludeInboundPorts,
		"-d", excludeInbound(c, statusPort),
	}
	gid := ""
	if c.GID != c.UID {
		gid = strconv.FormatInt(c.GID, 10)
	}
	for _, flag := range [...][2]string{
		{"-g", gid}, {"-q", c.IncludeOutboundPorts}, {"-o", c.ExcludeOutboundPorts}, {"-c", c.ExcludeInterfaces}, {"-k", c.VirtualInterfaces},
		{"--exclude-outbound-uids", c.ExcludeOutboundUIDs}, {"--exclude-inbound-ip-ranges", c.ExcludeInboundIPRanges},
		{"--backend", unlessAuto(string(c.Backend))}, {"--ip-families", unlessAuto(string(c.IPFamilies))},
	} {
		if flag[1] != "" {
			args = append(args, flag[0], flag[1])
		}
	}
	return args
}

// excludeInbound always has the sidecar's own ports, around the user's, so that the status port stays last.
func excludeInbound(c Capture, statusPort int64) string {
	list := strconv.Itoa(istio.PortProxyStats) + "," + strconv.Itoa(istio.PortReady)
	if c.ExcludeInboundPorts != "" {
		list += "," + c.ExcludeInboundPorts
	}
	if statusPort != 0 {
		list += "," + strconv.FormatInt(statusPort, 10)
	}
	return list
}

func unlessAuto(choice string) string {
	if choice == "Auto" {
		return ""
	}
	return strings.ToLower(choice)
}
