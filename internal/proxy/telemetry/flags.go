package telemetry

import "strings"

// Flags are Envoy's response flags of one connection.
type Flags uint16

// The flags a TCP connection can end with.
const (
	UpstreamConnectionFailure Flags = 1 << iota // UF
	NoHealthyUpstream                           // UH
	NoRouteFound                                // NR: no filter chain
	NoClusterFound                              // NC, also for a refused dial to ourselves
	DownstreamReset                             // DC
	UpstreamReset                               // UR
	IdleTimeout                                 // SI
	LocalReset                                  // LR: the sidecar ended it
)

var flagNames = [...]string{"UF", "UH", "NR", "NC", "DC", "UR", "SI", "LR"}

// String lists the flags in Envoy's short form, "-" for none.
func (f Flags) String() string {
	if f == 0 {
		return "-"
	}
	var names []string
	for i, name := range flagNames {
		if f&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, ",")
}
