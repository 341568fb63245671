package text

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/pillion-mesh/pillion/internal/capture/plan"
)

// Way is what rules in iptables' language make of a connection's first packet.
type Way struct {
	Rule   string // that decided, such as "ISTIO_OUTPUT 9"; "" if none did
	Target string // its right side: RETURN, REDIRECT or another
	Port   uint16 // where the connection goes to if Target is REDIRECT or DNAT
}

// Follow leads a packet through the nat table. What it doesn't know it says: a listing says nothing of it then.
func (f File) Follow(p plan.Packet) (Way, error) {
	builtIn := output
	if p.Hook == plan.Prerouting {
		builtIn = prerouting
	}
	for _, t := range f.Tables {
		if t.Name == nat {
			way, _, err := t.walk(builtIn, p, 0)
			return way, err
		}
	}
	return Way{}, nil
}

// maxDepth bounds jumps: no dialect's reach deeper than three.
const maxDepth = 8

// walk goes through a chain. What a packet returns from in a chain of ours is what decided, if nothing later does.
func (t Table) walk(chain string, p plan.Packet, depth int) (way Way, final bool, err error) {
	if depth > maxDepth {
		return way, false, fmt.Errorf("chain %s: jumps don't end", chain)
	}
	for i, r := range t.Find(chain) {
		words := strings.Fields(r.Spec)
		matched, target, err := holds(words, p)
		if err != nil {
			return way, false, fmt.Errorf("rule %s: %w", r.Spec, err)
		}
		here := Way{Rule: fmt.Sprintf("%s %d", chain, i+1), Target: target}
		switch {
		case !matched || target == "":
			continue
		case target == "RETURN":
			return here, false, nil
		case !Ours(target):
			here.Port, err = portOf(words)
			return here, true, err
		}
		inner, final, err := t.walk(target, p, depth+1)
		if err != nil {
			return way, false, err
		}
		if final {
			if depth > 0 { // the rule that led to the redirection tells more than the redirection
				inner.Rule = here.Rule
			}
			return inner, true, nil
		}
		if depth == 0 {
			way = inner
		}
	}
	return way, false, nil
}

// portOf reads the port of a target that rewrites the destination.
func portOf(words []string) (uint16, error) {
	value := after(words, "--to-ports")
	if to := after(words, "--to-destination"); to != "" {
		value = to[strings.LastIndex(to, ":")+1:]
	}
	if value == "" {
		return 0, nil
	}
	port, err := strconv.ParseUint(value, 10, 16)
	return uint16(port), err
}

func after(words []string, option string) string {
	if i := slices.Index(words, option); i >= 0 && i+1 < len(words) {
		return words[i+1]
	}
	return ""
}

// holds tells whether a packet meets a rule, and where the rule leads.
func holds(words []string, p plan.Packet) (matched bool, target string, err error) {
	matched = true
	not := false
	for i := 0; i < len(words); i++ {
		if words[i] == "!" {
			not = true
			continue
		}
		if i+1 == len(words) {
			return false, "", fmt.Errorf("option %s has no value", words[i])
		}
		option, value := words[i], words[i+1]
		i++
		if option == "-j" {
			return matched, value, nil
		}
		is, err := condition(option, value, p)
		if err != nil {
			return false, "", err
		}
		matched = matched && is != not
		not = false
	}
	return matched, "", nil
}

func condition(option, value string, p plan.Packet) (bool, error) {
	switch option {
	case "-m", "--comment":
		return true, nil
	case "-s":
		return within(value, p.Src.Addr())
	case "-d":
		return within(value, p.Dst.Addr())
	case "-i":
		return p.In == value, nil
	case "-o":
		return p.Out == value, nil
	case "-p":
		return map[uint8]string{plan.TCP: "tcp", plan.UDP: "udp"}[p.Proto] == value, nil
	case "--dport", "--dports":
		return among(value, ":", uint32(p.Dst.Port()))
	case "--uid-owner":
		return owned(value, p.Owner, func(o *plan.Owner) uint32 { return o.UID })
	case "--gid-owner":
		return owned(value, p.Owner, func(o *plan.Owner) uint32 { return o.GID })
	case "--mark":
		return marked(value, p.Mark)
	}
	return false, fmt.Errorf("option %s is unknown here", option)
}

func within(value string, a netip.Addr) (bool, error) {
	prefix, err := netip.ParsePrefix(value)
	return err == nil && prefix.Contains(a), err
}

// among looks for a number in a list of numbers and ranges.
func among(list, dash string, n uint32) (bool, error) {
	for item := range strings.SplitSeq(list, ",") {
		first, last, ranged := strings.Cut(item, dash)
		if !ranged {
			last = first
		}
		lo, errLo := strconv.ParseUint(first, 10, 32)
		hi, errHi := strconv.ParseUint(last, 10, 32)
		if errLo != nil || errHi != nil {
			return false, fmt.Errorf("%q is neither a number nor a range", item)
		}
		if lo <= uint64(n) && uint64(n) <= hi {
			return true, nil
		}
	}
	return false, nil
}

func owned(value string, o *plan.Owner, id func(*plan.Owner) uint32) (bool, error) {
	if o == nil {
		return false, nil
	}
	return among(value, "-", id(o))
}

func marked(value string, mark uint32) (bool, error) {
	text, maskText, masked := strings.Cut(value, "/")
	want, err := strconv.ParseUint(text, 0, 32)
	mask := uint64(1<<32 - 1)
	if masked && err == nil {
		mask, err = strconv.ParseUint(maskText, 0, 32)
	}
	return err == nil && uint64(mark)&mask == want, err
}
