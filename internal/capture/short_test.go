package capture_test

import "net/netip"

func addrPort(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }
