// Package probe runs the probes and hooks of the application that the injector led to the agent, and answers the
// kubelet with what the application answered. The map of probes the injector wrote comes in; an HTTP handler goes out.
// This file reads the map; then read handler.go, and a file for each kind: http.go, tcp.go, grpc.go.
package probe

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Bounds of a probe's time. A hook that names none may take as long as the kubelet waits for it.
const (
	leastTime   = time.Second
	longestTime = time.Hour
)

// Set are the probes of a pod by path. A probe that can't be read is there with the reason.
type Set struct {
	probes map[string]entry
	broken error // the whole map is unreadable
}

type entry struct {
	probe probe
	err   error
}

// probe is one of the three kinds, as the API server knows them.
type probe struct {
	HTTPGet        *httpGet   `json:"httpGet"`
	TCPSocket      *tcpSocket `json:"tcpSocket"`
	GRPC           *grpcCheck `json:"grpc"`
	TimeoutSeconds int64      `json:"timeoutSeconds"`

	hook bool
	time time.Duration
}

type httpGet struct {
	Path    string   `json:"path"`
	Port    port     `json:"port"`
	Host    string   `json:"host"`
	Scheme  string   `json:"scheme"`
	Headers []header `json:"httpHeaders"`
}

type header struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type tcpSocket struct {
	Port port   `json:"port"`
	Host string `json:"host"`
}

type grpcCheck struct {
	Port    port   `json:"port"`
	Service string `json:"service"`
}

// Parse reads the map's JSON; empty text is an empty map. The Set is usable whatever the error, which names all that
// is wrong: the pod must start, and only broken probes fail.
func Parse(text string) (*Set, error) {
	set := &Set{probes: map[string]entry{}}
	if text == "" {
		return set, nil
	}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &raw); err != nil {
		set.broken = fmt.Errorf("ISTIO_KUBE_APP_PROBERS isn't a JSON object of probes by path: %w", err)
		return set, set.broken
	}
	var faults []error
	for path, value := range raw {
		e := entry{}
		if e.probe, e.err = parseProbe(path, value); e.err != nil {
			e.err = fmt.Errorf("ISTIO_KUBE_APP_PROBERS[%q]: %w", path, e.err)
			faults = append(faults, e.err)
		}
		set.probes[path] = e
	}
	return set, errors.Join(faults...)
}

func parseProbe(path string, value json.RawMessage) (p probe, err error) {
	if p.hook, err = parsePath(path); err != nil {
		return p, err
	}
	if err := json.Unmarshal(value, &p); err != nil {
		return p, err
	}
	if kinds := oneIf(p.HTTPGet != nil) + oneIf(p.TCPSocket != nil) + oneIf(p.GRPC != nil); kinds != 1 {
		return p, fmt.Errorf("%d of httpGet, tcpSocket and grpc are set, want exactly one", kinds)
	}
	p.time = limitTime(p.TimeoutSeconds, p.hook)
	return p, p.check()
}

// limitTime: the API server's default is a second; hooks have no time limit there but the pod's grace period, at whose
// end the kubelet hangs up.
func limitTime(seconds int64, hook bool) time.Duration {
	if seconds == 0 && hook {
		return longestTime
	}
	return time.Duration(min(max(seconds, 1), int64(longestTime/time.Second))) * time.Second
}

func (p *probe) check() error {
	var at port
	switch {
	case p.TCPSocket != nil:
		at = p.TCPSocket.Port
	case p.GRPC != nil:
		at = p.GRPC.Port
	default:
		at = p.HTTPGet.Port
		if s := p.HTTPGet.Scheme; s != "" && s != "HTTP" && s != "HTTPS" {
			return fmt.Errorf("scheme is %q, want HTTP or HTTPS", s)
		}
	}
	if at == 0 {
		return errors.New("there is no port")
	}
	return nil
}

// parsePath tells probes (/app-health/CONTAINER/livez, …) from hooks (/app-lifecycle/CONTAINER/prestopz, …).
func parsePath(path string) (hook bool, err error) {
	parts := strings.Split(path, "/")
	if len(parts) == 4 && parts[0] == "" && parts[2] != "" {
		switch parts[1] + "/" + parts[3] {
		case "app-health/livez", "app-health/readyz", "app-health/startupz":
			return false, nil
		case "app-lifecycle/prestopz", "app-lifecycle/poststartz":
			return true, nil
		}
	}
	return false, errors.New("want /app-health/CONTAINER/livez, readyz or startupz, or /app-lifecycle/CONTAINER/prestopz or poststartz")
}

// port is a number. The API has names as well, which the injector resolves.
type port uint16

// UnmarshalJSON also takes a number in quotes.
func (p *port) UnmarshalJSON(text []byte) error {
	n, err := strconv.ParseUint(strings.Trim(string(text), `"`), 10, 16)
	if err != nil || n == 0 {
		return fmt.Errorf("port is %.64s, want a number from 1 to 65535", text)
	}
	*p = port(n)
	return nil
}

func (p port) String() string { return strconv.Itoa(int(p)) }

func oneIf(b bool) int {
	if b {
		return 1
	}
	return 0
}
