//go:build linux

package capture_test

import (
	"testing"

	"github.com/pillion-mesh/pillion/internal/capture/plan"
)

// resolvConf is what capture reads instead of the machine's; the last server is the pod itself.
const resolvConf = "nameserver 10.77.0.1\nnameserver fd77::1\nnameserver 127.0.0.53\n"

const (
	dnsServers = injected + " --redirect-dns --exclude-outbound-uids 5 -c eth1 -o 30000"
	dnsAll     = injected + " --redirect-dns --capture-all-dns --ip-families ipv4 $ISTIO_OUTBOUND_OWNER_GROUPS=3000 $ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE=3001"
)

func dnsScenarios() map[string][]flow {
	return map[string][]flow{
		dnsServers: {
			{name: "query", udp: true, uid: 1000, dst: "10.77.0.1:53", want: dns},
			{name: "query v6", udp: true, uid: 1000, dst: "[fd77::1]:53", want: dns},
			{name: "query over TCP", uid: 1000, dst: "10.77.0.1:53", want: dns},
			{name: "query over TCP v6", uid: 1000, dst: "[fd77::1]:53", want: dns},
			{name: "server on localhost", udp: true, uid: 1000, dst: "127.0.0.53:53", want: dns},
			{name: "server on localhost over TCP", uid: 1000, dst: "127.0.0.53:53", want: dns},
			{name: "another server", udp: true, uid: 1000, dst: "10.99.0.1:53", want: left},
			{name: "another server over TCP", uid: 1000, dst: "10.99.0.1:53", want: outbound},
			{name: "another port", udp: true, uid: 1000, dst: "10.77.0.1:80", want: left},
			{name: "proxy's query", udp: true, uid: 1337, gid: 1337, dst: "10.77.0.1:53", want: left},
			{name: "proxy's query v6", udp: true, uid: 1337, gid: 1337, dst: "[fd77::1]:53", want: left},
			{name: "proxy's query by group alone", udp: true, uid: 1000, gid: 1337, dst: "10.77.0.1:53", want: left},
			{name: "proxy's query over TCP", uid: 1337, gid: 1337, dst: "10.77.0.1:53", want: left},
			{name: "proxy's query on localhost", udp: true, uid: 1337, gid: 1337, dst: "127.0.0.53:53", want: left},
			{name: "proxy's query to the pod over TCP", uid: 1337, gid: 1337, dst: "10.77.0.2:53", want: left},
			{name: "excluded UID's query", udp: true, uid: 5, dst: "10.77.0.1:53", want: left},
			{name: "query from a port that is excluded", udp: true, uid: 1000, port: 30000, dst: "10.77.0.1:53", want: dns},
			{name: "query that arrives", in: true, udp: true, dst: "10.77.0.2:53", want: left},
		},
		dnsAll: {
			{name: "query", udp: true, gid: 3000, dst: "10.77.0.1:53", want: dns},
			{name: "query to any server", udp: true, gid: 3000, dst: "10.99.0.1:53", want: dns},
			{name: "query to any server over TCP", gid: 3000, dst: "10.99.0.1:53", want: dns},
			{name: "query v6", udp: true, gid: 3000, dst: "[fd77::1]:53", want: left},
			{name: "query of another group", udp: true, gid: 1000, dst: "10.77.0.1:53", want: left},
			{name: "query of an excluded group", udp: true, gid: 3001, dst: "10.77.0.1:53", want: left},
			{name: "proxy's query", udp: true, uid: 1337, gid: 3000, dst: "10.77.0.1:53", want: left},
			{name: "UDP to another port", udp: true, gid: 3000, dst: "10.77.0.1:80", want: left},
		},
	}
}

// Application and proxy use one source port towards one server, in turn: each gets its own way, again and again.
func TestOneSourcePortTwoWays(t *testing.T) {
	pod := servedPod(t)
	for _, line := range []string{dnsServers, injected + " --redirect-dns --capture-all-dns"} {
		var p *plan.Plan
		pod.Must(t, func() (err error) {
			p, _, err = apply(line)
			return err
		})
		for range 3 {
			for _, dst := range []string{"10.77.0.1:53", "[fd77::1]:53"} {
				for _, f := range []flow{
					{udp: true, uid: 1000, port: 40000, dst: dst, want: dns},
					{udp: true, uid: 1337, gid: 1337, port: 40000, dst: dst, want: left},
				} {
					f.check(t, pod, p)
				}
			}
		}
	}
}
