//go:build linux

package capture_test

// registered is Listed mode with something in every live set.
const registered = "--mode listed --pod-ips 10.77.0.2,fd77::2 --ip-families dual -u 1337 --redirect-dns --capture-all-dns --dns-port 15053 -x 10.99.0.0/16" +
	" --listed-inbound 10.77.0.2:8080,[fd77::2]:8080 --listed-outbound 10.99.0.1,10.77.0.1,fd77::1"

func listedScenarios() map[string][]flow {
	return map[string][]flow{
		registered: {
			{name: "registered", in: true, dst: "10.77.0.2:8080", want: inbound},
			{name: "registered v6", in: true, dst: "[fd77::2]:8080", want: inbound},
			{name: "another port", in: true, dst: "10.77.0.2:8081", want: left},
			{name: "another address", in: true, dst: "10.78.0.2:8080", want: left},
			{name: "VIP", uid: 1000, dst: "10.77.0.1:80", want: outbound},
			{name: "VIP at another port", uid: 1000, dst: "10.77.0.1:443", want: outbound},
			{name: "VIP v6", uid: 1000, dst: "[fd77::1]:80", want: outbound},
			{name: "no VIP v6", uid: 1000, dst: "[fd99::1]:80", want: left},
			{name: "excluded VIP", uid: 1000, dst: "10.99.0.1:80", want: left},
			{name: "proxy to VIP", uid: 1337, gid: 1337, dst: "10.77.0.1:80", want: left},
			{name: "no hairpin", uid: 1337, gid: 1337, dst: "10.77.0.2:8080", want: left},
			{name: "own address", uid: 1000, dst: "10.77.0.2:8080", want: left},
			{name: "query", udp: true, uid: 1000, dst: "10.99.0.1:53", want: dns},
			{name: "query v6", udp: true, uid: 1000, dst: "[fd77::1]:53", want: dns},
			{name: "query over TCP", uid: 1000, dst: "10.77.0.1:53", want: dns},
			{name: "proxy's query", udp: true, uid: 1337, gid: 1337, dst: "10.77.0.1:53", want: left},
			{name: "UDP to VIP", udp: true, uid: 1000, dst: "10.77.0.1:80", want: left},
		},
	}
}
