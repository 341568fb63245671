package inject

import (
	"fmt"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/pillion-mesh/pillion/internal/istio"
)

// readiness are the figures of istio-proxy's readiness probe.
type readiness struct{ initialDelay, period, failureThreshold int64 }

var defaultReadiness = readiness{initialDelay: 0, period: 15, failureThreshold: 4}

// ownPorts are the sidecar's, apart from the status port.
var ownPorts = []int64{
	istio.PortAdmin, istio.PortOutbound, istio.PortProbe, istio.PortInbound, istio.PortTunnel,
	istio.PortReady, istio.PortDNS, istio.PortProxyStats,
}

func setStatusPort(s *settings, value string) error {
	port, err := parseNumber(value, 0, 65535)
	if err != nil {
		return fmt.Errorf("%q is not a port; want one, such as 15020, or 0 for none", value)
	}
	return s.useStatusPort(port)
}

func (s *settings) useStatusPort(port int64) error {
	if slices.Contains(ownPorts, port) {
		return fmt.Errorf("port %d is another of the sidecar's; want one it doesn't use, such as 15020, or 0 for none", port)
	}
	s.captured = s.captured || port != s.statusPort
	s.statusPort = port
	return nil
}

func setSeconds(low int64, field func(*readiness) *int64) func(*settings, string) error {
	return func(s *settings, value string) error {
		n, err := parseNumber(value, low, math.MaxInt32)
		if err == nil {
			*field(&s.readiness) = n
		}
		return err
	}
}

// maxTargets is how many the agent scrapes.
const maxTargets = 16

func setScrapeTargets(s *settings, value string) error {
	targets := 0
	clean, err := eachListed(value, func(item string) (string, error) {
		if targets++; targets > maxTargets {
			return "", fmt.Errorf("these are more than %d targets", maxTargets)
		}
		return scrapeTarget(item)
	})
	s.scrapeTargets = clean
	return err
}

func scrapeTarget(item string) (string, error) {
	port, path, hasPath := strings.Cut(item, ":")
	n, err := parseNumber(port, 1, 65535)
	if err != nil {
		return "", fmt.Errorf("%q is no target; want port or port:path, such as 8080:/metrics", item)
	}
	if !hasPath || path == "" {
		return strconv.FormatInt(n, 10), nil
	}
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	if _, err := url.ParseRequestURI(path); err != nil {
		return "", fmt.Errorf("%q is no path of a URL; want port:path, such as 8080:/metrics", path)
	}
	return strconv.FormatInt(n, 10) + ":" + path, nil
}

func setSecurePort(s *settings, value string) error {
	port, err := parseNumber(value, 1, 65535)
	if err != nil {
		return fmt.Errorf("%q is not a port; want one, such as 15091", value)
	}
	if slices.Contains(ownPorts, port) {
		return fmt.Errorf("port %d is another of the sidecar's; want one it doesn't use, such as 15091", port)
	}
	s.securePort = port
	return nil
}

// resolvePorts compares ports with the status port, which another annotation may have set.
func (s *settings) resolvePorts() (faults []Fault) {
	if s.securePort != 0 && s.securePort == s.statusPort {
		faults = append(faults, annotationFault(istio.AnnotationSecurePort, strconv.FormatInt(s.securePort, 10),
			fmt.Errorf("this is the status port; want another")))
	}
	if s.scrapeTargets == "" {
		return faults
	}
	for target := range strings.SplitSeq(s.scrapeTargets, ",") {
		text, _, _ := strings.Cut(target, ":")
		port, _ := strconv.ParseInt(text, 10, 64)
		if port == s.statusPort || slices.Contains(ownPorts, port) {
			faults = append(faults, annotationFault(istio.AnnotationScrapeTargets, s.scrapeTargets,
				fmt.Errorf("port %d is the sidecar's own, whose metrics are there anyway; want ports of the application", port)))
		}
	}
	return faults
}
