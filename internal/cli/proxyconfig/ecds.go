package proxyconfig

import (
	"io"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/pillion-mesh/pillion/internal/cli/table"
)

// ecdsHeadings are istioctl's.
var ecdsHeadings = []string{"ECDS NAME", "TYPE"}

// WriteECDS prints filters that came by their own resources.
func (d *Dump) WriteECDS(w io.Writer, format string) error {
	var all []*anypb.Any
	for _, e := range d.ECDS.GetEcdsFilters() {
		all = append(all, e.GetEcdsFilter())
	}
	filters := messages[corev3.TypedExtensionConfig](all)
	if format != "table" {
		return writeMessages(w, filters, format)
	}
	rows := make([][]string, len(filters))
	for i, f := range filters {
		rows[i] = []string{f.GetName(), f.GetTypedConfig().GetTypeUrl()}
	}
	return table.Write(w, ecdsHeadings, sortedByName(rows))
}
