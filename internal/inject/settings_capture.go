package inject

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/istio"
)

func setMode(s *settings, value string) error {
	switch mode := v1alpha1.CaptureMode(value); mode {
	case v1alpha1.CaptureRedirect, v1alpha1.CaptureTProxy, v1alpha1.CaptureNone:
		s.captured = s.captured || mode != s.capture.Mode
		s.capture.Mode = mode
		return nil
	}
	return fmt.Errorf("%q is not an interception mode; want REDIRECT, TPROXY or NONE", value)
}

func setList(check func(string) (string, error), field func(*Capture) *string) func(*settings, string) error {
	return func(s *settings, value string) error {
		clean, err := check(value)
		if err != nil {
			return err
		}
		*field(&s.capture) = clean
		s.captured = true
		return nil
	}
}

func setCaptureDNS(_ *settings, value string) error {
	switch value {
	case string(v1alpha1.CaptureDNSOff):
		return nil
	case "Servers", "All":
		return fmt.Errorf("capture of DNS isn't built yet; remove this annotation, or write %s", v1alpha1.CaptureDNSOff)
	}
	return fmt.Errorf("%q is no way to capture DNS; want Off", value)
}

func setBackend(s *settings, value string) error {
	switch backend := v1alpha1.CaptureBackend(value); backend {
	case v1alpha1.BackendAuto, v1alpha1.BackendNftables, v1alpha1.BackendIptables:
		s.captured = s.captured || backend != s.capture.Backend
		s.capture.Backend = backend
		return nil
	}
	return fmt.Errorf("%q is no backend; want Auto, Nftables or Iptables", value)
}

func setFamilies(s *settings, value string) error {
	switch families := v1alpha1.IPFamilies(value); families {
	case v1alpha1.FamiliesAuto, v1alpha1.FamiliesIPv4, v1alpha1.FamiliesIPv6, v1alpha1.FamiliesDual:
		s.captured = s.captured || families != s.capture.IPFamilies
		s.capture.IPFamilies = families
		return nil
	}
	return fmt.Errorf("%q are no address families; want Auto, IPv4, IPv6 or Dual", value)
}

// checkDNSForward checks zone=address pairs. It is mesh-dns that reads the annotation itself, and there is none yet.
func checkDNSForward(s *settings, value string) error {
	if strings.TrimSpace(value) != "" {
		s.warn("%s has no effect yet: this sidecar answers no DNS", AnnotationDNSForward)
	}
	_, err := eachListed(value, func(item string) (string, error) {
		zone, address, ok := strings.Cut(item, "=")
		if !ok || !isZone(strings.TrimSpace(zone)) || !isServer(strings.TrimSpace(address)) {
			return "", fmt.Errorf("%q is no zone and server; want zone=address, such as corp.example=10.0.0.53", item)
		}
		return item, nil
	})
	return err
}

func isZone(zone string) bool {
	return len(validation.IsDNS1123Subdomain(strings.TrimSuffix(zone, "."))) == 0
}

// isServer wants an address, with a port if it isn't 53.
func isServer(text string) bool {
	if addr, err := netip.ParseAddr(text); err == nil {
		return addr.Zone() == ""
	}
	server, err := netip.ParseAddrPort(text)
	return err == nil && server.Port() != 0 && server.Addr().Zone() == ""
}

// annotationNetworks names networks a pod has besides the cluster's (Multus).
const annotationNetworks = "k8s.v1.cni.cncf.io/networks"

// noteNetworks tells that capture takes all interfaces, also those nobody thought of.
func noteNetworks(s *settings, value string) error {
	if strings.TrimSpace(value) != "" && s.capture.Mode != v1alpha1.CaptureNone && s.capture.ExcludeInterfaces == "" {
		s.warn("the pod's other networks are captured too; %s leaves their interfaces out", istio.AnnotationExcludeInterfaces)
	}
	return nil
}

// parseNumber wants plain digits: strconv alone would also take +80.
func parseNumber(value string, low, high int64) (int64, error) {
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil || strings.Trim(value, "0123456789") != "" || n < low || n > high {
		return 0, fmt.Errorf("%q is not a number from %d to %d", value, low, high)
	}
	return n, nil
}
