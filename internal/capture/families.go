package capture

import (
	"net/netip"
	"slices"

	"github.com/pillion-mesh/pillion/internal/capture/plan"
	"github.com/pillion-mesh/pillion/internal/istio"
)

// Families decides which IP families a plan covers. Auto takes those of which any interface has an address that
// others can reach; all addresses are looked at, for the first one tells nothing of the other family.
func Families(choice plan.FamilyChoice, links Links) (f plan.Families, warnings []string, err error) {
	switch choice {
	case plan.FamilyV4:
		return plan.Families{V4: true}, nil, nil
	case plan.FamilyV6:
		return plan.Families{V6: true}, nil, nil
	case plan.FamilyDual:
		return plan.Families{V4: true, V6: true}, nil, nil
	}
	addresses, err := links.Addresses()
	if err != nil {
		return plan.Families{}, nil, err
	}
	f = FamiliesOf(slices.DeleteFunc(addresses, func(a netip.Addr) bool { return !reachable(a) }))
	if f == (plan.Families{}) {
		return plan.Families{V4: true, V6: true}, []string{"no interface has an address yet: both IP families are captured"}, nil
	}
	return f, nil, nil
}

// FamiliesOf are those that any of the addresses is of.
func FamiliesOf(addresses []netip.Addr) (f plan.Families) {
	for _, a := range addresses {
		f.V4 = f.V4 || a.Is4()
		f.V6 = f.V6 || a.Is6()
	}
	return f
}

func reachable(a netip.Addr) bool {
	return !a.IsLoopback() && !a.IsLinkLocalUnicast() && a.String() != istio.PassthroughV6
}

// PodIPs are the addresses others reach this pod by: the first one of each family.
func PodIPs(links Links, families plan.Families) ([]netip.Addr, error) {
	addresses, err := links.Addresses()
	var four, six []netip.Addr
	for _, a := range addresses {
		switch {
		case !reachable(a):
		case a.Is4() && families.V4 && four == nil:
			four = []netip.Addr{a}
		case a.Is6() && families.V6 && six == nil:
			six = []netip.Addr{a}
		}
	}
	return append(four, six...), err
}
