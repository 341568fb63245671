package agent

import "time"

// Facts are what readiness is decided from.
type Facts struct {
	Children  bool // each component has a serving epoch that was heard of lately
	Accepting bool // the proxy accepts connections
	Draining  bool
}

// Ready reports whether the sidecar can take traffic, and what stands in the way. It is pure.
func Ready(f Facts) (ready bool, blocked []string) {
	for _, b := range []struct {
		blocks bool
		name   string
	}{{f.Draining, "draining"}, {!f.Children, "children"}, {!f.Accepting, "accepting"}} {
		if b.blocks {
			blocked = append(blocked, b.name)
		}
	}
	return len(blocked) == 0, blocked
}

// facts collects them from the child's status.
func facts(s ChildStatus, draining bool, now time.Time, limits Limits) Facts {
	serving := s.State == Serving || s.State == Draining
	return Facts{
		Children:  serving && s.Healthy && now.Sub(s.LastBeat) < limits.Unhealthy,
		Accepting: serving,
		Draining:  draining,
	}
}
