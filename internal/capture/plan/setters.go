package plan

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// setter stores one flag's value in the command, or says what it wants instead.
type setter = func(c *Command, value string) error

type prefixList = []netip.Prefix

func text(field func(*Command) *string) setter {
	return func(c *Command, value string) error {
		*field(c) = value
		return nil
	}
}

func boolean(field func(*Command) *bool) setter {
	return func(c *Command, value string) (err error) {
		*field(c), err = parseBool(value)
		return err
	}
}

func oneOf(field func(*Command) *string, allowed ...string) setter {
	return func(c *Command, value string) error {
		if !slices.Contains(allowed, value) {
			return fmt.Errorf("want one of %s", strings.Join(allowed, ", "))
		}
		*field(c) = value
		return nil
	}
}

func port(field func(*Command) *uint16) setter {
	return func(c *Command, value string) error {
		n, err := parseNumber(value, 1, 65535)
		*field(c) = uint16(n)
		return err
	}
}

func duration(field func(*Command) *time.Duration) setter {
	return func(c *Command, value string) error {
		d, err := time.ParseDuration(value)
		if err != nil || d <= 0 {
			return errors.New("want a duration such as 5s")
		}
		*field(c) = d
		return nil
	}
}

func id(field func(*Command) *uint32) setter {
	return func(c *Command, value string) (err error) {
		*field(c), err = parseNumber(value, 0, maxID)
		return err
	}
}

func ranges(low, high uint64, field func(*Command) *[]Range) setter {
	return func(c *Command, value string) (err error) {
		*field(c), err = parseRanges(value, low, high)
		return err
	}
}

func prefixes(field func(*Command) *prefixList) setter {
	return func(c *Command, value string) (err error) {
		if value == "*" {
			return errors.New("want CIDRs; to capture nothing leave -i empty")
		}
		*field(c), err = parsePrefixes(value)
		return err
	}
}

func idList(field func(*Command) *[]uint32) setter {
	return func(c *Command, value string) error {
		items, err := split(value)
		if err != nil {
			return err
		}
		var list []uint32
		for _, item := range items {
			n, err := parseNumber(item, 0, maxID)
			if err != nil {
				return err
			}
			list = append(list, n)
		}
		slices.Sort(list)
		*field(c) = slices.Compact(list)
		return nil
	}
}

func setInterception(c *Command, value string) error {
	switch value {
	case "", string(ModeRedirect):
		c.Options.Interception = ModeRedirect
	case string(ModeNone):
		c.Options.Interception = ModeNone
	case string(ModeTProxy):
		c.Options.Interception = ModeTProxy
	default:
		return errors.New("want REDIRECT, TPROXY or NONE")
	}
	return nil
}

func setInboundPorts(c *Command, value string) (err error) {
	c.Options.InboundPorts = Ports{All: value == "*"}
	if value != "*" {
		c.Options.InboundPorts.List, err = parseRanges(value, 1, 65535)
	}
	return err
}

func setOutbound(c *Command, value string) (err error) {
	c.Options.OutboundCIDRs = Prefixes{All: value == "*"}
	if value != "*" {
		c.Options.OutboundCIDRs.List, err = parsePrefixes(value)
	}
	return err
}

func interfaces(field func(*Command) *[]string) setter {
	return func(c *Command, value string) (err error) {
		*field(c), err = parseInterfaces(value)
		return err
	}
}

func setArming(c *Command, value string) error {
	if value != "early" && value != "late" {
		return errors.New("want early or late")
	}
	c.Options.LateArming = value == "late"
	return nil
}

func setLoopback(c *Command, value string) (err error) {
	c.Options.Loopback, err = parsePrefix(value)
	return err
}

func setFamilies(c *Command, value string) error {
	choice := FamilyChoice(value)
	switch choice {
	case FamilyAuto, FamilyV4, FamilyV6, FamilyDual:
		c.Options.Families = choice
		return nil
	}
	return errors.New("want auto, ipv4, ipv6 or dual")
}

func setBackend(c *Command, value string) error {
	switch value {
	case "auto":
		return nil
	case backendNftables, backendIptables:
		return c.ask(value)
	}
	return errors.New("want auto, nftables or iptables")
}

// The backends.
const (
	backendNftables = "nftables"
	backendIptables = "iptables"
)

// ask notes which backend is wanted: several flags may say so, if they say the same.
func (c *Command) ask(backend string) error {
	if c.Backend != "" && c.Backend != backend {
		return fmt.Errorf("another flag or variable asks for backend %s; want one of both", c.Backend)
	}
	c.Backend = backend
	return nil
}

func setIptables(c *Command, value string) error {
	switch value {
	case "":
		return nil
	case "legacy", "nft":
		c.Binary = value
		return c.ask(backendIptables)
	}
	return errors.New(`want "", legacy or nft`)
}

func setRecord(c *Command, value string) error {
	c.Record, c.RecordAsk = value, value != ""
	return nil
}

func setCleanup(c *Command, value string) error {
	clean, err := parseBool(value)
	if clean {
		c.Name = "clean"
	}
	return err
}

func setNative(c *Command, value string) error {
	native, err := parseBool(value)
	if native {
		return c.ask(backendNftables)
	}
	return err
}
