package capture_test

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pillion-mesh/pillion/internal/capture"
	"github.com/pillion-mesh/pillion/internal/capture/plan"
)

// Whatever somebody left where the record is, it explains or is refused.
func FuzzRecord(f *testing.F) {
	for _, line := range []string{"-i * -b * -d 15020", "-i 10.0.0.0/8,fd00::/8 -q 443 -b 8080 -c eth0 -x 10.9.0.0/16 -o 1-2 --exclude-outbound-uids 5",
		"--mode listed --pod-ips 10.0.0.7 --listed-inbound 10.0.0.7:80 --listed-outbound 240.0.0.1 --redirect-dns --capture-all-dns", "-m NONE"} {
		command, err := plan.Parse(strings.Fields(line), plan.Environment{})
		if err != nil {
			f.Fatal(err)
		}
		p, _, err := plan.New(command.Options, plan.Families{V4: true, V6: !strings.Contains(line, "listed")})
		if err != nil {
			f.Fatal(err)
		}
		text, err := json.Marshal(capture.Record{Plan: p})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte(`{"plan":{"families":{"v4":true},"loopback":"","out":{"via":"redirect","cidrs":{"list":["",""]}}}}`))
	path := filepath.Join(f.TempDir(), "capture.json")
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		record, err := capture.Load(path)
		if err != nil {
			return
		}
		var out bytes.Buffer
		live := capture.Live{Source: path}
		if err := capture.ExplainPlan(record.Plan, live).Write(&out); err != nil {
			t.Error(err)
		}
		_ = record.Plan.Rules().Text("fuzz")
		for _, dst := range []string{"10.0.0.1:80", "[fd00::1]:53", "127.0.0.1:80"} {
			for _, q := range []plan.Query{{Dst: netip.MustParseAddrPort(dst)}, {Dst: netip.MustParseAddrPort(dst), Inbound: true, Proto: "udp"}} {
				packet, err := capture.Packet(nil, q, nil)
				if err != nil {
					t.Fatal(err)
				}
				if err := capture.ExplainPacket(record.Plan, packet, live).Write(&out); err != nil {
					t.Error(err)
				}
			}
		}
	})
}

// Every question gets a packet with two ends of one family, or a reason.
func FuzzQuestion(f *testing.F) {
	for _, line := range []string{"--from uid:1000 --to 10.0.0.5:3306", "tcp 10.0.0.7:1 10.9.3.4:443 --uid 3", "--from 10.0.0.1,iface:eth1 --to :80 --in",
		"--to [fd00::5]:53 --proto udp --from gid:3,::6", "--from uid:1,,2 --to :0", "--to 1:2:3", "-o json --to :1"} {
		f.Add(line)
	}
	own := []netip.Addr{netip.MustParseAddr("10.0.0.7"), netip.MustParseAddr("fd00::7"), netip.MustParseAddr("fe80::7")}
	f.Fuzz(func(t *testing.T, line string) {
		command, err := plan.Parse(append([]string{"explain"}, strings.Fields(line)...), plan.Environment{})
		if err != nil {
			return
		}
		for _, known := range [][]netip.Addr{own, nil} {
			packet, err := capture.Packet(command.Positional, command.Query, known)
			if err != nil {
				continue
			}
			if !packet.Src.Addr().IsValid() || !packet.Dst.Addr().IsValid() || packet.Src.Addr().Is4() != packet.Dst.Addr().Is4() {
				t.Errorf("%q: %+v", line, packet)
			}
			if (packet.Owner == nil) != command.Query.Inbound || packet.In+packet.Out == "" {
				t.Errorf("%q: %+v", line, packet)
			}
		}
	})
}
