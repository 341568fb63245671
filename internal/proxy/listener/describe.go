package listener

import (
	"fmt"
	"strings"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// describe names a chain for people: one without a name by what it takes.
func describe(c *config.Chain) string {
	if c.Name != "" {
		return fmt.Sprintf("%q", c.Name)
	}
	if parts := matchParts(&c.Match); len(parts) > 0 {
		return "without name, for " + strings.Join(parts, ", ")
	}
	return "without name, for all connections"
}

func matchParts(m *config.ChainMatch) (parts []string) {
	add := func(what string, values ...any) {
		if len(values) > 0 {
			parts = append(parts, what+" "+strings.TrimSuffix(fmt.Sprintln(values...), "\n"))
		}
	}
	if m.DestinationPort != 0 {
		add("port", m.DestinationPort)
	}
	add("destination", anys(m.Destinations)...)
	add("server name", anys(m.ServerNames)...)
	if m.TransportProtocol != "" {
		add("transport", m.TransportProtocol)
	}
	add("ALPN", anys(m.ApplicationProtocols)...)
	add("direct source", anys(m.DirectSources)...)
	if m.SourceType != config.AnySource {
		add("source", map[config.SourceType]any{config.SameIPOrLoopback: "this host", config.ExternalSource: "another host"}[m.SourceType])
	}
	add("source", anys(m.Sources)...)
	add("source port", anys(m.SourcePorts)...)
	return parts
}

func anys[T any](values []T) []any {
	all := make([]any, len(values))
	for i, v := range values {
		all[i] = v
	}
	return all
}
