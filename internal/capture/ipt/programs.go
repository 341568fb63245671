package ipt

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/pillion-mesh/pillion/internal/capture/nft"
)

// Variant is iptables' kernel side.
type Variant string

// NFT programs nftables in iptables' words, Legacy the older tables.
const (
	NFT    Variant = "nft"
	Legacy Variant = "legacy"
)

// Programs are the files of a variant.
type Programs struct {
	Variant Variant
	dir     string
	infix   string // "-nft", "-legacy"; "" if only the plain names are there
}

func (p Programs) restore(v6 bool) string { return p.file(v6, "-restore") }

func (p Programs) save(v6 bool) string { return p.file(v6, "-save") }

func (p Programs) file(v6 bool, suffix string) string {
	return filepath.Join(p.dir, program(v6)+p.infix+suffix)
}

// Dirs are where administrators' programs are; PATH isn't asked, for containers often have none.
func Dirs() []string { return []string{"/usr/local/sbin", "/usr/sbin", "/sbin"} }

// Find looks for a variant's programs in directories. Plain iptables-restore belongs to the variant whose binary it
// leads to.
func Find(variant Variant, dirs []string) (Programs, error) {
	for _, dir := range dirs {
		p := Programs{Variant: variant, dir: dir, infix: "-" + string(variant)}
		if p.complete() {
			return p, nil
		}
		p.infix = ""
		if p.complete() && variantOf(p.restore(false)) == variant {
			return p, nil
		}
	}
	return Programs{}, fmt.Errorf("%w: iptables-%s-restore isn't in %s; want an image with iptables, such as the variant -iptables of ours", nft.ErrUnsupported, variant, strings.Join(dirs, ", "))
}

func (p Programs) complete() bool {
	for _, name := range []string{p.restore(false), p.save(false)} {
		if info, err := os.Stat(name); err != nil || info.Mode()&0o111 == 0 {
			return false
		}
	}
	return true
}

// variantOf tells by the name of the one binary behind all of a variant's names. One that was named before there were
// two is the older's.
func variantOf(file string) Variant {
	binary, err := filepath.EvalSymlinks(file)
	if err == nil && strings.Contains(filepath.Base(binary), "nft") {
		return NFT
	}
	return Legacy
}
