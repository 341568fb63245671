package plane

import (
	"embed"
	"encoding/json"
	"fmt"
	"strings"
)

//go:embed walk/*.json
var files embed.FS

// Walk returns what the founding documents walk through: listener 0.0.0.0_9999, route 9999, bill-service's clusters v1
// and v2 at 90 and 10 percent with the endpoints PEER4 and PEER6, and the inbound listener of port 80. replace puts
// real words in place of those.
func Walk(replace *strings.Replacer) (Resources, error) {
	var r Resources
	for name, to := range map[string]*[]json.RawMessage{
		"listeners": &r.Listeners, "routes": &r.Routes, "clusters": &r.Clusters, "endpoints": &r.Endpoints,
	} {
		text, err := files.ReadFile("walk/" + name + ".json")
		if err != nil {
			return r, err
		}
		if err := json.Unmarshal([]byte(replace.Replace(string(text))), to); err != nil {
			return r, fmt.Errorf("%s: %w", name, err)
		}
	}
	return r, nil
}
