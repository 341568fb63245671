//go:build linux

package capture_test

import (
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/pillion-mesh/pillion/internal/capture/nstest"
)

// What conntrack calls INVALID is dropped whatever its protocol: here the answer to a ping nobody sent.
func TestInvalidPacketsAreDropped(t *testing.T) {
	for line, want := range map[string]uint64{injected: 0, marked: 1, marked + " -c eth0": 0} {
		pod := servedPod(t)
		pod.Must(t, func() error {
			_, _, err := apply(line)
			return err
		})
		pod.Peer.Must(t, unsolicitedEchoReply)
		pod.Must(t, func() error {
			_, result, err := apply(line)
			if got := result.Counters["prerouting.invalid.drop"].Packets; got != want {
				t.Errorf("%s: dropped %d packets, want %d", line, got, want)
			}
			return err
		})
	}
}

func unsolicitedEchoReply() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_ICMP)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	reply := []byte{0, 0, 0xff, 0xff, 0, 0, 0, 0} // type, code, checksum, id, sequence
	return unix.Sendto(fd, reply, 0, &unix.SockaddrInet4{Addr: netip.MustParseAddr(nstest.PodV4).As4()})
}
