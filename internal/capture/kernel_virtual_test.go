//go:build linux

package capture_test

// The second cable leads to a nested machine: with REDIRECT, with TPROXY, and in Listed mode.
const (
	nested = "-u 1337 -i 10.77.0.0/16,10.88.0.0/16 -q 443 -b * -k eth1 -x 10.77.0.5,10.88.0.7 --drop-invalid" +
		" --bypass out_tcp_port_9000_because_it_must --bypass out_uid_0"
	nestedDiverted = "-u 1337 -m TPROXY -i * -b * -k eth1 -x 10.88.0.7"
	nestedListed   = "--mode listed --pod-ips 10.77.0.2,fd77::2 --ip-families dual -u 1337 -k eth1 --listed-outbound 10.88.0.1 --listed-inbound 10.77.0.2:8080"
)

func virtualScenarios() map[string][]flow {
	return map[string][]flow{
		nested: {
			{name: "nested machine's", in: true, dst: "10.88.0.1:80", want: outbound},
			{name: "nested machine's by port", in: true, dst: "10.78.0.2:443", want: outbound},
			{name: "nested machine's to what isn't included", in: true, dst: "10.78.0.2:8080", want: left},
			{name: "in", in: true, dst: "10.77.0.2:8080", want: inbound},
			{name: "out", uid: 1000, dst: "10.77.0.1:80", want: outbound},
		},
		nestedDiverted: {
			{name: "nested machine's", in: true, dst: "10.88.0.1:80", want: outbound},
			{name: "nested machine's to the pod", in: true, dst: "10.78.0.2:8080", want: outbound},
			{name: "in", in: true, dst: "10.77.0.2:8080", want: inbound},
			{name: "in v6", in: true, dst: "[fd77::2]:8080", want: inbound},
		},
		nestedListed: {
			{name: "nested machine's to VIP", in: true, dst: "10.88.0.1:80", want: outbound},
			{name: "nested machine's", in: true, dst: "10.78.0.2:8080", want: left},
			{name: "in", in: true, dst: "10.77.0.2:8080", want: inbound},
		},
	}
}
