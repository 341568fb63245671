package xds

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// detectionOf is a listener with one of original_ip_detection_extensions.
func detectionOf(kind, fields string) string { return detectionWith(kind, fields, "") }

func detectionWith(kind, fields, more string) string {
	return managerOf(emptyRoutes + `, original_ip_detection_extensions: [{name: x, typed_config: {"@type": type.googleapis.com/` + kind + `, ` + fields + `}}], ` + more + `http_filters: [` + routerFilter + "]")
}

func TestOriginalIP(t *testing.T) {
	ten := config.CIDRs{netip.MustParsePrefix("10.0.0.0/8")}
	for name, c := range map[string]struct {
		text string
		want config.OriginalIP
		err  string
	}{
		"xff":                    {detectionOf(xffDetectionType, "xff_num_trusted_hops: 2"), config.OriginalIP{Hops: 2}, ""},
		"proxies":                {detectionOf(xffDetectionType, "xff_trusted_cidrs: {cidrs: [{address_prefix: 10.0.0.0, prefix_len: 8}]}, skip_xff_append: false"), config.OriginalIP{CIDRs: ten, Append: true}, ""},
		"header":                 {detectionOf(headerDetectionType, "header_name: X-Client, allow_extension_to_set_address_as_trusted: true, reject_with_status: {code: 429}"), config.OriginalIP{Header: "x-client", Trusted: true, Reject: 429}, ""},
		"a status that isn't":    {detectionOf(headerDetectionType, "header_name: x, reject_with_status: {code: 200}"), config.OriginalIP{Header: "x", Reject: 403}, ""},
		"no name":                {detectionOf(headerDetectionType, ""), config.OriginalIP{}, "header_name (x): empty"},
		"no proxies":             {detectionOf(xffDetectionType, "xff_trusted_cidrs: {}"), config.OriginalIP{}, "xff_trusted_cidrs (x): empty"},
		"both":                   {detectionOf(xffDetectionType, "xff_num_trusted_hops: 1, xff_trusted_cidrs: {cidrs: [{address_prefix: 10.0.0.0, prefix_len: 8}]}"), config.OriginalIP{}, "xff_trusted_cidrs (x): not together with xff_num_trusted_hops"},
		"with remote address":    {detectionWith(xffDetectionType, "", "use_remote_address: true, "), config.OriginalIP{}, "not together with use_remote_address"},
		"with the manager's own": {detectionWith(xffDetectionType, "", "xff_num_trusted_hops: 1, "), config.OriginalIP{}, "not together with xff_num_trusted_hops"},
	} {
		l, _, err := Listener(listenerYAML(t, c.text), nil)
		switch {
		case (err == nil) != (c.err == ""), err != nil && !strings.Contains(err.Error(), c.err):
			t.Errorf("%s: %v", name, err)
		case err == nil:
			if got := l.Chains[0].HTTP.OriginalIP; len(got) != 1 || !reflect.DeepEqual(got[0], c.want) {
				t.Errorf("%s: %+v", name, got)
			}
		}
	}
}
