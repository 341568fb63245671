package capture

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/pillion-mesh/pillion/internal/capture/nft"
	"github.com/pillion-mesh/pillion/internal/capture/plan"
	"github.com/pillion-mesh/pillion/internal/istio"
)

// piece is one thing beside the rules that a plan needs: an address, a policy rule, a route. The rules lead packets to
// it, so what is missing comes before them and what is surplus goes after them.
type piece struct {
	what        string
	add, remove func() error
}

// around are the pieces that are missing and those that are surplus, in the order to deal with them.
func (s System) around(p *plan.Plan) (missing, surplus []piece, err error) {
	addresses, err := s.Links.Addresses()
	if err != nil {
		return nil, nil, err
	}
	wanted, present := wantsPassthrough(p), slices.Contains(addresses, passthrough6().Addr())
	switch {
	case wanted && !present:
		missing = []piece{s.passthrough()}
	case !wanted && present:
		surplus = []piece{s.passthrough()}
	}
	if s.Routes == nil {
		return missing, surplus, nil
	}
	have, err := s.Routes.Diverts()
	if err != nil {
		return nil, nil, err
	}
	for _, want := range divertsOf(p) {
		i := slices.Index(have, want)
		if i < 0 {
			missing = append(missing, s.diverted(want))
			continue
		}
		have = slices.Delete(have, i, i+1)
	}
	for _, d := range have {
		surplus = append(surplus, s.diverted(d))
	}
	return missing, surplus, nil
}

func (s System) passthrough() piece {
	return piece{
		what:   "address " + passthrough6().String() + " on lo",
		add:    func() error { return familyError("IPv6", s.Links.AddToLoopback(passthrough6())) },
		remove: func() error { return s.Links.RemoveFromLoopback(passthrough6()) },
	}
}

func (s System) diverted(d Divert) piece {
	return piece{
		what: d.String(),
		add: func() error {
			return familyError(map[bool]string{true: "IPv4", false: "IPv6"}[d.V4], s.Routes.AddDivert(d))
		},
		remove: func() error { return s.Routes.RemoveDivert(d) },
	}
}

// familyError says that a family lacks something; without the right to try nobody knows that.
func familyError(family string, err error) error {
	if err == nil || errors.Is(err, nft.ErrPermission) {
		return err
	}
	other := map[string]string{"IPv4": "ipv6", "IPv6": "ipv4"}[family]
	return fmt.Errorf("%w: %s: %w; use --ip-families %s to leave %s alone", ErrFamily, family, err, other, family)
}

// put adds pieces. If one can't be had, those before it go again.
func put(pieces []piece) error {
	for i, p := range pieces {
		if err := p.add(); err != nil {
			return errors.Join(err, take(pieces[:i]))
		}
	}
	return nil
}

// take removes pieces, the last one first.
func take(pieces []piece) (err error) {
	for _, p := range slices.Backward(pieces) {
		err = errors.Join(err, p.remove())
	}
	return err
}

// differences are what verify says of pieces.
func differences(missing, surplus []piece) []plan.Difference {
	var list []plan.Difference
	for _, p := range missing {
		list = append(list, plan.Difference{Kind: plan.Missing, What: p.what})
	}
	for _, p := range surplus {
		list = append(list, plan.Difference{Kind: plan.Surplus, What: p.what})
	}
	return list
}

// passthrough6 must be an address of this host, for the proxy binds it; 127.0.0.6 is one by itself.
func passthrough6() netip.Prefix {
	addr := netip.MustParseAddr(istio.PassthroughV6)
	return netip.PrefixFrom(addr, addr.BitLen())
}

func wantsPassthrough(p *plan.Plan) bool { return p.Families.V6 && p.Mode != plan.Listed && !p.Empty() }
