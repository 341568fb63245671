package live

import (
	"errors"
	"fmt"
	"time"

	"github.com/pillion-mesh/pillion/internal/capture/plan"
)

// The protocol: a request and a response are one line of JSON each, in turn, on a connection that may stay open.
//
//	{"op":"add","set":"vip4","elements":["240.0.0.10"],"ttl":"90s"}
//	{}

// Bounds of the protocol.
const (
	maxLine        = 512 << 10
	maxInRequest   = 4096
	maxConnections = 16
	patience       = 5 * time.Second // for the other side to take or send what it has begun
)

// request asks to add or remove elements of one set. TTL has the form of time.ParseDuration; "" is for good.
type request struct {
	Op       string   `json:"op"` // "add" or "remove"
	Set      string   `json:"set"`
	Elements []string `json:"elements"`
	TTL      string   `json:"ttl,omitempty"`
}

// response is empty if all went well.
type response struct {
	Error string `json:"error,omitempty"`
}

// carryOut does what a request asks.
func (l *Live) carryOut(r request) error {
	kind, ok := plan.LiveKind(r.Set)
	switch {
	case !ok:
		return fmt.Errorf("set %q: want one of in4, in6, vip4, vip6, armed", r.Set)
	case len(r.Elements) == 0 || len(r.Elements) > maxInRequest:
		return fmt.Errorf("%d elements: want 1 to %d", len(r.Elements), maxInRequest)
	}
	list := make([]plan.Element, len(r.Elements))
	for i, text := range r.Elements {
		var err error
		if list[i], err = plan.ParseElement(kind, text); err != nil {
			return fmt.Errorf("set %s: %w", r.Set, err)
		}
	}
	switch r.Op {
	case "add":
		ttl, err := parseTTL(r.TTL)
		if err != nil {
			return err
		}
		return l.Add(r.Set, ttl, list...)
	case "remove":
		return l.Remove(r.Set, list...)
	}
	return fmt.Errorf("op %q: want add or remove", r.Op)
}

func parseTTL(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	ttl, err := time.ParseDuration(text)
	if err != nil || ttl <= 0 {
		return 0, errors.New("ttl: want a duration such as 90s, or nothing for good")
	}
	return ttl, nil
}
