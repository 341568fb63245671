package ipt

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"

	"github.com/pillion-mesh/pillion/internal/capture/text"
)

// Present looks at the kernel: by netlink for the nft variant, in /proc for the older tables, which only says that a
// table exists.
func Present(variant Variant, v6 bool) ([]string, error) {
	if variant == Legacy {
		return legacyTables(v6)
	}
	conn, err := nftables.New()
	if err != nil {
		return nil, fmt.Errorf("opening a netlink socket: %w", err)
	}
	family := nftables.TableFamilyIPv4
	if v6 {
		family = nftables.TableFamilyIPv6
	}
	chains, err := conn.ListChainsOfTableFamily(family)
	if err != nil {
		if lacksNftables(err) {
			return nil, nil
		}
		return nil, fmt.Errorf("listing chains: %w", err)
	}
	var tables []string
	for _, c := range chains {
		if text.Ours(c.Name) && slices.Contains(text.Tables(), c.Table.Name) && !slices.Contains(tables, c.Table.Name) {
			tables = append(tables, c.Table.Name)
		}
	}
	return tables, nil
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

func legacyTables(v6 bool) ([]string, error) {
	name := "ip_tables_names"
	if v6 {
		name = "ip6_tables_names"
	}
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
