package v1alpha1

import (
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
)

// What the lists of Capture, and the annotations of the same names, want to be. Messages end in these.
const (
	WantPorts    = "want ports or ranges, such as 80,8000-8010"
	WantPortsAll = `want "*", or ports or ranges, such as 80,8000-8010`
	WantCIDRs    = "want CIDRs or addresses, such as 10.0.0.0/8,fd00::/8"
	WantCIDRsAll = `want "*", or CIDRs or addresses, such as 10.0.0.0/8,fd00::/8`
	WantUIDs     = "want user ids or ranges, such as 0,1000-1999"
	WantIfaces   = "want names of interfaces of at most 15 bytes, such as net1,net2"
	WantImage    = "want an image reference, such as registry.example/pillion-sidecar:1.2"
)

// Ports checks a comma-separated list of ports (1-65535) and ranges (a-b) and returns it without spaces and empty
// items. The error is complete, but for whose list it is.
func Ports(list string) (string, error) {
	return eachItem(list, numberOrRange(1, 65535, "a port", WantPorts))
}

// numberOrRange checks one number in plain digits, or two with a hyphen.
func numberOrRange(least, most uint64, what, want string) func(item string) (string, error) {
	digits := len(strconv.FormatUint(most, 10))
	number := func(text string) (uint64, bool) {
		n, err := strconv.ParseUint(text, 10, 32)
		return n, err == nil && n >= least && n <= most && len(text) <= digits
	}
	return func(item string) (string, error) {
		low, high, isRange := strings.Cut(item, "-")
		low, high = strings.TrimSpace(low), strings.TrimSpace(high)
		if !isRange {
			high = low
		}
		from, okFrom := number(low)
		to, okTo := number(high)
		switch {
		case !okFrom || !okTo:
			return "", fmt.Errorf("%q is not %s; %s", item, what, want)
		case from > to:
			return "", fmt.Errorf("range %q ends before it starts; %s", item, want)
		case isRange:
			return low + "-" + high, nil
		}
		return low, nil
	}
}

// PortsOrAll is Ports, or "*" alone.
func PortsOrAll(list string) (string, error) { return orAll(list, WantPorts, WantPortsAll, Ports) }

// CIDRs checks a comma-separated list of CIDRs and addresses and returns it without spaces and empty items.
func CIDRs(list string) (string, error) {
	return eachItem(list, func(item string) (string, error) {
		if _, err := netip.ParsePrefix(item); err == nil {
			return item, nil
		}
		if addr, err := netip.ParseAddr(item); err == nil && addr.Zone() == "" {
			return item, nil
		}
		return "", fmt.Errorf("%q is not a CIDR or an address; %s", item, WantCIDRs)
	})
}

// CIDRsOrAll is CIDRs, or "*" alone.
func CIDRsOrAll(list string) (string, error) { return orAll(list, WantCIDRs, WantCIDRsAll, CIDRs) }

func orAll(list, want, wantAll string, check func(string) (string, error)) (string, error) {
	if strings.TrimSpace(list) == "*" {
		return "*", nil
	}
	clean, err := check(list)
	if err != nil {
		return "", fmt.Errorf("%s", strings.TrimSuffix(err.Error(), want)+wantAll)
	}
	return clean, nil
}

// Bounds of a list: an annotation may be 256 KiB long, the rules made of it must fit a transaction, and Linux starts no
// process with an argument of 128 KiB.
const (
	maxItems = 4096
	maxBytes = 64 << 10
)

func eachItem(list string, check func(string) (string, error)) (string, error) {
	var clean []string
	size := 0
	for item := range strings.SplitSeq(list, ",") {
		item = strings.TrimSpace(item)
		if item == "" {
			continue
		}
		item, err := check(item)
		if err != nil {
			return "", err
		}
		if clean = append(clean, item); len(clean) > maxItems {
			return "", fmt.Errorf("the list has more than %d items; use ranges", maxItems)
		}
		if size += len(item) + len(","); size > maxBytes {
			return "", fmt.Errorf("the list has more than %d bytes; use ranges", maxBytes)
		}
	}
	return strings.Join(clean, ","), nil
}

// UIDs checks a comma-separated list of user ids and ranges (a-b) and returns it without spaces and empty items.
// 4294967295 means "no user" to the kernel.
func UIDs(list string) (string, error) {
	return eachItem(list, numberOrRange(0, 1<<32-2, "a user id", WantUIDs))
}

// Interfaces checks a comma-separated list of names of network interfaces as Linux allows them.
func Interfaces(list string) (string, error) {
	return eachItem(list, func(item string) (string, error) {
		if len(item) > 15 || item == "." || item == ".." || strings.ContainsFunc(item, func(r rune) bool { return r <= ' ' || r == '/' || r == ':' || r >= 127 }) {
			return "", fmt.Errorf("%q is not an interface; %s", item, WantIfaces)
		}
		return item, nil
	})
}

// imageReference is the distribution grammar: [host[:port]/]path[:tag][@digest].
var imageReference = regexp.MustCompile(`^(?:(?:[a-zA-Z0-9](?:[-a-zA-Z0-9]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[-a-zA-Z0-9]*[a-zA-Z0-9])?)*|\[[0-9a-fA-F:]+\])(?::[0-9]+)?/)?` +
	`[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*` +
	`(?::[A-Za-z0-9_][-.A-Za-z0-9_]{0,127})?(?:@[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,})?$`)

// Image checks an image reference.
func Image(reference string) error {
	if len(reference) > 512 || !imageReference.MatchString(reference) {
		return fmt.Errorf("%q is not an image reference; %s", reference, WantImage)
	}
	return nil
}
