package capture_test

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/pillion-mesh/pillion/internal/capture"
	"github.com/pillion-mesh/pillion/internal/capture/plan"
)

type addressList []string

func (l addressList) Addresses() (list []netip.Addr, err error) {
	for _, s := range l {
		if s == "fail" {
			return nil, errors.New("failed")
		}
		list = append(list, netip.MustParseAddr(s))
	}
	return list, nil
}

func (addressList) AddToLoopback(netip.Prefix) error      { return nil }
func (addressList) RemoveFromLoopback(netip.Prefix) error { return nil }

func TestFamilies(t *testing.T) {
	for _, c := range []struct {
		choice    plan.FamilyChoice
		addresses addressList
		want      string
		warns     bool
	}{
		{plan.FamilyAuto, addressList{"127.0.0.1", "::1", "fe80::1", "10.0.0.7"}, "ipv4", false},
		{plan.FamilyAuto, addressList{"127.0.0.1", "169.254.1.1", "fd00::7"}, "ipv6", false},
		{plan.FamilyAuto, addressList{"fe80::1", "10.0.0.7", "fd00::7"}, "ipv4,ipv6", false},
		{plan.FamilyAuto, addressList{"10.0.0.7", "::6"}, "ipv4", false}, // ours, from a run before
		{plan.FamilyAuto, addressList{"127.0.0.1", "::1"}, "ipv4,ipv6", true},
		{plan.FamilyV4, addressList{"fd00::7"}, "ipv4", false},
		{plan.FamilyV6, addressList{"10.0.0.7"}, "ipv6", false},
		{plan.FamilyDual, addressList{"fail"}, "ipv4,ipv6", false},
	} {
		got, warnings, err := capture.Families(c.choice, c.addresses)
		if err != nil || got.String() != c.want || (len(warnings) > 0) != c.warns {
			t.Errorf("%s of %v: %s, %v, %v; want %s", c.choice, c.addresses, got, warnings, err, c.want)
		}
	}
	if _, _, err := capture.Families(plan.FamilyAuto, addressList{"fail"}); err == nil {
		t.Error("addresses that can't be read are taken for none")
	}
}
