package ipt

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/pillion-mesh/pillion/internal/capture/socket"
	"github.com/pillion-mesh/pillion/internal/capture/text"
)

// Present looks at the kernel: by netlink for the nft variant, in /proc for the older tables, which only says that a
// table exists.
func Present(variant Variant) (map[bool][]string, error) {
	if variant == NFT {
		return nftTables()
	}
	tables := map[bool][]string{}
	for v6, name := range map[bool]string{false: "ip_tables_names", true: "ip6_tables_names"} {
		found, err := legacyTables(name)
		if err != nil {
			return nil, err
		}
		tables[v6] = found
	}
	return tables, nil
}

// relistings bounds how often a list is read again that somebody changed meanwhile.
const relistings = 10

// nftTables are those with a chain of one of our names.
func nftTables() (map[bool][]string, error) {
	sock, err := socket.Open(unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, fmt.Errorf("opening a netlink socket: %w", err)
	}
	defer func() { _ = sock.Close() }()
	header := []byte{unix.NFPROTO_UNSPEC, unix.NFNETLINK_V0, 0, 0}
	chains, err := sock.Ask(unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_GETCHAIN, netlink.Dump, header)
	for again := 0; errors.Is(err, unix.EINTR) && again < relistings; again++ {
		chains, err = sock.Ask(unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_GETCHAIN, netlink.Dump, header)
	}
	if lacksNftables(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("listing chains: %w", err)
	}
	tables := map[bool][]string{}
	for _, c := range chains {
		v6, table, ours := chainOf(c.Data)
		if ours && !slices.Contains(tables[v6], table) {
			tables[v6] = append(tables[v6], table)
		}
	}
	return tables, nil
}

// chainOf reads a listed chain.
func chainOf(data []byte) (v6 bool, table string, ours bool) {
	const header = 4 // struct nfgenmsg
	if len(data) < header || data[0] != unix.NFPROTO_IPV4 && data[0] != unix.NFPROTO_IPV6 {
		return false, "", false
	}
	attributes, err := socket.Attributes(data[header:])
	if err != nil {
		return false, "", false
	}
	name := ""
	for _, a := range attributes {
		switch value := string(bytes.TrimRight(a.Data, "\x00")); a.Kind {
		case unix.NFTA_CHAIN_TABLE:
			table = value
		case unix.NFTA_CHAIN_NAME:
			name = value
		}
	}
	return data[0] == unix.NFPROTO_IPV6, table, text.Ours(name) && slices.Contains(text.Tables(), table)
}

// lacksNftables: where the kernel has no nftables there's nothing of the nft variant's.
func lacksNftables(err error) bool {
	for _, errno := range []error{unix.EOPNOTSUPP, unix.EPROTONOSUPPORT, unix.EAFNOSUPPORT, unix.EINVAL} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

func legacyTables(name string) ([]string, error) {
	content, err := os.ReadFile("/proc/thread-self/net/" + name)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil // the module isn't loaded
	}
	if err != nil {
		return nil, err
	}
	tables := strings.Fields(string(content))
	return slices.DeleteFunc(tables, func(t string) bool { return !slices.Contains(text.Tables(), t) }), nil
}
