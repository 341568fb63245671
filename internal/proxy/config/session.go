package config

import "time"

// StatefulSession is envoy.filters.http.stateful_session: the answer tells the client which host it was given, and the
// client's further requests ask for that host. At most one of Cookie and Header is set; with neither it does nothing.
type StatefulSession struct {
	Cookie     *SessionCookie
	Header     string // lower case
	Strict     bool   // no other host will do
	NotFound   uint32 // status_on_strict_destination_not_found; 0: 503
	StatPrefix string // empty: nothing is counted
}

// SessionCookie is the cookie of CookieBasedSessionState.
type SessionCookie struct {
	Name, Path string
	TTL        time.Duration // 0: until the client ends
	Attributes [][2]string   // name and value; an empty value isn't written
}

// HealthStatuses is a set of health statuses: bit n is core.v3.HealthStatus n.
type HealthStatuses uint8

// Has reports whether status, a number of core.v3.HealthStatus, is in the set.
func (s HealthStatuses) Has(status uint8) bool { return status < 8 && s&(1<<status) != 0 }

// Numbers of core.v3.HealthStatus.
const (
	StatusUnknown uint8 = iota
	StatusHealthy
	StatusUnhealthy
	StatusDraining
	StatusTimeout
	StatusDegraded
)
